from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hashwacht import Checker
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.pipeline import Pipeline
from hashwacht.storage.store import Store
from hashwacht.storage.uploads import UploadRecords
from hashwacht.testing.fakes import KnowingMatcher
from hashwacht.uploads.local import LocalBackend, ResultStorage
from hashwacht_plugins import asgi, wsgi
from support.plugins.upload_drivers import AsgiDriver, WsgiDriver
from support.plugins.uploads import KNOWN


@pytest.fixture
def matcher() -> KnowingMatcher:
    """Return a matcher without entries."""
    return KnowingMatcher()


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[UploadRecords]:
    """Return the storage of the checker's uploads."""
    with Store.open(tmp_path / "state") as store:
        yield store.uploads


@pytest.fixture
def checker(matcher: KnowingMatcher, tmp_path: Path) -> Iterator[Checker]:
    """Return a checker in this process with real storage and a fake matcher."""

    def opener() -> LocalBackend:
        pipeline = Pipeline(
            InProcessFingerprinter(Plan(("sha256",))), MatcherSet([ConfiguredMatcher(matcher)])
        )
        return LocalBackend(pipeline, ResultStorage(Store.open(tmp_path / "state")))

    with Checker(opener, threads=2) as made:
        yield made


@pytest.fixture(params=["asgi", "wsgi"])
def make(
    request: pytest.FixtureRequest, checker: Checker, matcher: KnowingMatcher
) -> Iterator[Callable[..., Any]]:
    """Return a function that wraps an application in the middleware with these settings."""
    matcher.known.add(hashlib.sha256(KNOWN).hexdigest())
    loops: list[AsgiDriver] = []

    def build(**settings: Any) -> AsgiDriver | WsgiDriver:
        settings = {"checker": checker, **settings}
        if request.param == "wsgi":
            return WsgiDriver(lambda app: wsgi.HashwachtMiddleware(app, **settings))
        loops.append(AsgiDriver(lambda app: asgi.HashwachtMiddleware(app, **settings)))
        return loops[-1]

    yield build
    for loop in loops:
        loop.close()

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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

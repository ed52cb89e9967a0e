from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashwacht import Checker
from hashwacht.core.upload_context import Uploads
from hashwacht.hashing.in_process import InProcess
from hashwacht.hashing.plan import Plan
from hashwacht.matching.matcher_set import Panel, Seat
from hashwacht.pipeline import Pipeline
from hashwacht.storage.store import Store
from hashwacht.testing.fakes import KnowingMatcher
from hashwacht.uploads.local import InThisProcess, State


@pytest.fixture
def matcher() -> KnowingMatcher:
    """Know nothing until told."""
    return KnowingMatcher()


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    """Where the checker writes what requests told."""
    return Uploads(tmp_path / "state" / "uploads")


@pytest.fixture
def checker(matcher: KnowingMatcher, uploads: Uploads, tmp_path: Path) -> Iterator[Checker]:
    """Check in this process with a real state; only the matcher is ours."""

    def opener() -> InThisProcess:
        pipeline = Pipeline(InProcess(Plan(("sha256",))), Panel([Seat(matcher)]))
        return InThisProcess(pipeline, State(Store.open(tmp_path / "state"), uploads))

    with Checker(opener, threads=2) as made:
        yield made

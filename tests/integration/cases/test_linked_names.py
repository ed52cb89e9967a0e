"""Files with several names (hard links): none of them serves what is quarantined or held."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, FileId
from hashwacht.core.watch_events import Lane
from hashwacht.quarantine.restore import RestoreRequest
from support.cases import HOLD, QUARANTINE, CaseHarness, at, mode
from support.vaults import Snapshot, dress


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[CaseHarness]:
    """Open a harness whose root is watched; ``outside`` beside it is not."""
    (tmp_path / "outside").mkdir()
    opened = CaseHarness(tmp_path, root=replace(QUARANTINE, path=tmp_path / "files")).open()
    yield opened
    opened.close()


def linked(harness: CaseHarness, *places: str) -> list[bytes]:
    """Write a file in the root and give it further names; return all of them."""
    first = harness.file("first.png")
    dress(first)
    paths = [harness.home / place for place in places]
    for path in paths:
        path.hardlink_to(at(first))
    return [first, *map(bytes, paths)]


def examine(harness: CaseHarness, *paths: bytes) -> None:
    """Record names as examined, as a walk or the daemon does."""
    for path in paths:
        status = at(path).stat()
        directory, _, name = path.rpartition(b"/")
        row = (name, FileId.from_stat(status), status.st_nlink, None, None)
        harness.store.files.record(directory, 1, [row])


def journaled(harness: CaseHarness, lane: Lane) -> set[bytes]:
    journal, now = harness.store.journal, harness.clock.now
    due = (*journal.load_due(lane, now, 9), *journal.load_due_trees(lane, now, 9))
    return {entry.path for entry in due}


def troubles(harness: CaseHarness) -> list[str]:
    return [notice.summary for notice in harness.notices if notice.kind is NoticeKind.TROUBLE]


def test_known_names_of_a_quarantined_file_are_sealed_too(harness: CaseHarness) -> None:
    names = linked(harness, "files/second.png", "files/third.png")
    before = Snapshot.of(names[0])
    examine(harness, *names)
    assert harness.apply(names[0]) is Action.QUARANTINE
    assert [mode(name) for name in names[1:]] == [0, 0], "nothing serves them meanwhile"
    assert journaled(harness, Lane.UPLOAD) == set(names[1:])
    for name in names[1:]:
        assert harness.apply(name) is Action.QUARANTINE
    assert troubles(harness) == []
    assert not any(at(name).exists() for name in names)
    assert list((harness.home / "state" / "holds").glob("*.json")) == []
    request = RestoreRequest("a mistake", [harness.keys.secret])
    results = [*harness.decisions().release(harness.case(), request)]
    assert [result.failure for result in results] == [None] * 3
    assert [Snapshot.of(name) for name in names] == [before] * 3
    assert harness.evidence() == []


def test_names_wait_in_the_turn_of_their_own_account(harness: CaseHarness) -> None:
    for account in ("anna", "bert"):
        (harness.files / account).mkdir()
    names = linked(harness, "files/anna/second.png", "files/bert/third.png")
    examine(harness, *names)
    assert harness.apply(names[0]) is Action.QUARANTINE
    entries = harness.store.journal.load_due(Lane.UPLOAD, harness.clock.now, 9)
    assert {entry.path: entry.account for entry in entries} == {
        name: name.rpartition(b"/")[0] for name in names[1:]
    }


def test_names_are_known_though_the_root_is_the_whole_system(tmp_path: Path) -> None:
    harness = CaseHarness(tmp_path, root=replace(QUARANTINE, path=Path("/"))).open()
    names = linked(harness, "files/second.png")
    examine(harness, *names)
    assert harness.apply(names[0]) is Action.QUARANTINE
    assert journaled(harness, Lane.UPLOAD) == set(names[1:])
    assert troubles(harness) == []
    harness.close()


def test_unknown_names_are_searched_and_reported(harness: CaseHarness) -> None:
    first, unseen, outside = linked(harness, "files/unseen.png", "outside/far.png")
    before = Snapshot.of(first)
    assert harness.apply(first) is Action.QUARANTINE
    (summary,) = troubles(harness)
    assert "2 more names (hard links)" in summary
    assert f"find / -inum {at(outside).stat().st_ino}" in summary
    assert journaled(harness, Lane.RECONCILE) == {bytes(harness.files)}, "the root is walked"
    assert (mode(unseen), mode(outside)) == (0, 0)
    assert harness.apply(unseen) is Action.QUARANTINE
    assert len(troubles(harness)) == 1, "each file is reported once"
    assert mode(outside) == 0
    request = RestoreRequest("a mistake", [harness.keys.secret])
    assert all(
        not result.failure for result in harness.decisions().release(harness.case(), request)
    )
    assert Snapshot.of(first) == Snapshot.of(unseen) == before
    if os.geteuid() == 0:  # only root may open a file by its handle
        assert Snapshot.of(outside) == before
    assert harness.evidence() == []


def test_a_held_file_with_names_outside_is_reported(harness: CaseHarness) -> None:
    first, outside = linked(harness, "outside/far.png")
    before = Snapshot.of(first)
    assert harness.apply(first, root=replace(HOLD, path=harness.files)) is Action.HOLD
    (summary,) = troubles(harness)
    assert "one more name (hard links)" in summary
    assert (mode(first), mode(outside)) == (0, 0)
    (result,) = harness.decisions().release(harness.case(), RestoreRequest("a mistake"))
    assert result.failure is None
    assert Snapshot.of(first) == Snapshot.of(outside) == before


def test_a_reused_inode_is_not_released_with_a_case(harness: CaseHarness) -> None:
    first, outside = linked(harness, "outside/far.png")
    assert harness.apply(first) is Action.QUARANTINE
    at(outside).chmod(0o600)
    at(outside).write_bytes(b"another content of the same inode")
    at(outside).chmod(0)
    request = RestoreRequest("a mistake", [harness.keys.secret])
    assert all(
        not result.failure for result in harness.decisions().release(harness.case(), request)
    )
    assert mode(outside) == 0

"""Failed actions are reported, retried at growing intervals, and finally carried out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action
from hashwacht.storage.locations import LocationState
from support.cases import HOLD, NEAR, NO_MATCH, UNANSWERED, CaseHarness, at, mode


def test_a_failed_sealing_is_held_reported_and_retried(
    harness: CaseHarness,
) -> None:
    harness.seal_for()
    path = harness.file("a.png")
    before = mode(path)
    assert harness.apply(path) is Action.HOLD
    assert mode(path) == 0
    assert [notice.kind for notice in harness.notices] == [NoticeKind.TROUBLE]
    assert "no-recipients" in harness.notices[0].summary
    assert "held meanwhile" in harness.notices[0].summary
    pauses = []
    for _ in range(4):
        (location,) = harness.locations()
        assert location.due is not None
        pauses.append(location.due - harness.clock.now)
        harness.processor.retry_due(location.due - 1)  # too early: no attempt
        assert harness.locations() == [location]
        harness.clock.now = location.due
        harness.retry()
    assert pauses == [60, 120, 240, 480]
    assert len(harness.notices) == 1
    harness.seal_for(harness.keys.public)
    harness.retry(3600)
    (location,) = harness.locations()
    assert (location.state, location.due) == (LocationState.QUARANTINED, None)
    assert not at(path).exists()
    record = harness.vault.find(location.vault)
    assert record is not None
    assert record.attributes.mode == before
    assert harness.notices[-1].kind is NoticeKind.CASE


def test_a_failed_sealing_and_hold_is_retried(harness: CaseHarness) -> None:
    harness.seal_for()
    path = harness.file("a.png")
    with harness.busy(path):
        assert harness.apply(path) is Action.OBSERVE
    (location,) = harness.locations()
    assert (location.state, location.counted_at) == (LocationState.FAILED, None)
    harness.retry(60)
    (location,) = harness.locations()
    assert (location.state, location.counted_at) == (LocationState.HELD, harness.clock.now)


@pytest.mark.parametrize("how", ["a file in its place", "swept away in the middle"])
def test_a_missing_vault_does_not_make_a_file_lost(harness: CaseHarness, how: str) -> None:
    """The vault is missing, not the customer's file, which stays in place and is held."""
    vault = harness.home / "state/quarantine"
    if how == "a file in its place":
        vault.touch()
    else:
        harness.vault._sealer.clock = partial(_sweep, vault, harness.clock)
    path = harness.file("a.png")
    assert harness.apply(path) is Action.HOLD
    assert mode(path) == 0
    (location,) = harness.locations()
    assert (location.state, location.due) == (LocationState.HELD, harness.clock.now + 60)


def _sweep(vault: Path, clock: Callable[[], float]) -> float:
    """Remove everything when the clock is read, right before the intent is recorded."""
    shutil.rmtree(vault, ignore_errors=True)
    return clock()


@pytest.mark.alone
def test_a_file_with_a_mount_on_top_is_held(harness: CaseHarness) -> None:
    path, behind = harness.file("a.png", b"below"), harness.file("b.png")
    result = subprocess.run(["mount", "--bind", behind, path], capture_output=True, check=False)
    if result.returncode:
        pytest.skip(f"cannot mount: {result.stderr.decode()}")
    try:
        assert harness.apply(path) is Action.HOLD
        assert mode(path) == 0
        assert "mounted" in harness.notices[0].summary
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def test_a_held_file_stays_held_while_sealing_it_fails(harness: CaseHarness) -> None:
    harness.seal_for()
    path = harness.file("a.png")
    harness.apply(path, UNANSWERED, root=HOLD)
    for _ in range(3):
        assert harness.apply(path) is Action.HOLD
    assert mode(path) == 0
    assert harness.events().count("failed") == 1, "the retry happens when it is due, not earlier"
    harness.seal_for(harness.keys.public)
    harness.retry(3600)
    assert [location.state for location in harness.locations()] == [LocationState.QUARANTINED]


def test_a_failed_release_is_retried_unless_it_matches_again(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    harness.apply(path, NEAR)
    with harness.busy(path):
        assert harness.apply(path, NO_MATCH) is Action.HOLD
    (location,) = harness.locations()
    assert (location.state, location.due) == (LocationState.HELD, harness.clock.now + 60)
    assert harness.apply(path, NEAR) is Action.HOLD
    harness.retry(3600)
    assert mode(path) == 0
    with harness.busy(path):
        harness.apply(path, NO_MATCH)
    harness.retry(3600)
    assert mode(path) != 0
    assert [location.state for location in harness.locations()] == [LocationState.RELEASED]


def test_a_failed_file_that_is_gone_at_the_retry_is_gone(harness: CaseHarness) -> None:
    harness.seal_for()
    path = harness.file("a.png")
    harness.apply(path)
    at(path).unlink()
    harness.retry(3600)
    (location,) = harness.locations()
    assert (location.state, location.due, location.counted_at) == (LocationState.GONE, None, None)

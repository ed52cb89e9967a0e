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
from support.cases import HOLD, NEAR, NO_MATCH, UNANSWERED, CaseBench, at, mode


def test_a_failed_sealing_is_held_reported_and_retried(
    bench: CaseBench,
) -> None:
    bench.seal_for()
    path = bench.file("a.png")
    before = mode(path)
    assert bench.apply(path) is Action.HOLD
    assert mode(path) == 0
    assert [notice.kind for notice in bench.notices] == [NoticeKind.TROUBLE]
    assert "no-recipients" in bench.notices[0].summary
    assert "held meanwhile" in bench.notices[0].summary
    pauses = []
    for _ in range(4):
        (location,) = bench.locations()
        assert location.due is not None
        pauses.append(location.due - bench.clock.now)
        bench.processor.retry_due(location.due - 1)  # too early: no attempt
        assert bench.locations() == [location]
        bench.clock.now = location.due
        bench.retry()
    assert pauses == [60, 120, 240, 480]
    assert len(bench.notices) == 1
    bench.seal_for(bench.keys.public)
    bench.retry(3600)
    (location,) = bench.locations()
    assert (location.state, location.due) == (LocationState.QUARANTINED, None)
    assert not at(path).exists()
    record = bench.vault.find(location.vault)
    assert record is not None
    assert record.attributes.mode == before
    assert bench.notices[-1].kind is NoticeKind.CASE


def test_a_failed_sealing_and_hold_is_retried(bench: CaseBench) -> None:
    bench.seal_for()
    path = bench.file("a.png")
    with bench.busy(path):
        assert bench.apply(path) is Action.OBSERVE
    (location,) = bench.locations()
    assert (location.state, location.counted_at) == (LocationState.FAILED, None)
    bench.retry(60)
    (location,) = bench.locations()
    assert (location.state, location.counted_at) == (LocationState.HELD, bench.clock.now)


@pytest.mark.parametrize("how", ["a file in its place", "swept away in the middle"])
def test_a_missing_vault_does_not_make_a_file_lost(bench: CaseBench, how: str) -> None:
    """The vault is missing, not the customer's file, which stays in place and is held."""
    vault = bench.home / "state/quarantine"
    if how == "a file in its place":
        vault.touch()
    else:
        bench.vault._sealer.clock = partial(_sweep, vault, bench.clock)
    path = bench.file("a.png")
    assert bench.apply(path) is Action.HOLD
    assert mode(path) == 0
    (location,) = bench.locations()
    assert (location.state, location.due) == (LocationState.HELD, bench.clock.now + 60)


def _sweep(vault: Path, clock: Callable[[], float]) -> float:
    """Remove everything when the clock is read, right before the intent is recorded."""
    shutil.rmtree(vault, ignore_errors=True)
    return clock()


@pytest.mark.alone
def test_a_file_with_a_mount_on_top_is_held(bench: CaseBench) -> None:
    path, behind = bench.file("a.png", b"below"), bench.file("b.png")
    result = subprocess.run(["mount", "--bind", behind, path], capture_output=True, check=False)
    if result.returncode:
        pytest.skip(f"cannot mount: {result.stderr.decode()}")
    try:
        assert bench.apply(path) is Action.HOLD
        assert mode(path) == 0
        assert "mounted" in bench.notices[0].summary
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def test_a_held_file_stays_held_while_sealing_it_fails(bench: CaseBench) -> None:
    bench.seal_for()
    path = bench.file("a.png")
    bench.apply(path, UNANSWERED, root=HOLD)
    for _ in range(3):
        assert bench.apply(path) is Action.HOLD
    assert mode(path) == 0
    assert bench.events().count("failed") == 1, "the retry happens when it is due, not earlier"
    bench.seal_for(bench.keys.public)
    bench.retry(3600)
    assert [location.state for location in bench.locations()] == [LocationState.QUARANTINED]


def test_a_failed_release_is_retried_unless_it_matches_again(bench: CaseBench) -> None:
    path = bench.file("a.png")
    bench.apply(path, NEAR)
    with bench.busy(path):
        assert bench.apply(path, NO_MATCH) is Action.HOLD
    (location,) = bench.locations()
    assert (location.state, location.due) == (LocationState.HELD, bench.clock.now + 60)
    assert bench.apply(path, NEAR) is Action.HOLD
    bench.retry(3600)
    assert mode(path) == 0
    with bench.busy(path):
        bench.apply(path, NO_MATCH)
    bench.retry(3600)
    assert mode(path) != 0
    assert [location.state for location in bench.locations()] == [LocationState.RELEASED]


def test_a_failed_file_that_is_gone_at_the_retry_is_gone(bench: CaseBench) -> None:
    bench.seal_for()
    path = bench.file("a.png")
    bench.apply(path)
    at(path).unlink()
    bench.retry(3600)
    (location,) = bench.locations()
    assert (location.state, location.due, location.counted_at) == (LocationState.GONE, None, None)

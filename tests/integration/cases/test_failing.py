"""What cannot be done is told, tried again ever more seldom, and done when it can be."""

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
from support.casework import HOLD, NEAR, NO_MATCH, UNANSWERED, Office, at, mode


def test_what_cannot_be_sealed_is_held_told_and_tried_again_ever_more_seldom(
    office: Office,
) -> None:
    office.seal_for()
    path = office.file("a.png")
    before = mode(path)
    assert office.settle(path) is Action.HOLD
    assert mode(path) == 0
    assert [notice.kind for notice in office.notices] == [NoticeKind.TROUBLE]
    assert "no-recipients" in office.notices[0].summary
    assert "held meanwhile" in office.notices[0].summary
    pauses = []
    for _ in range(4):
        (place,) = office.places()
        assert place.due is not None
        pauses.append(place.due - office.clock.now)
        office.casework.retry(place.due - 1)  # too early: nothing is tried
        assert office.places() == [place]
        office.clock.now = place.due
        office.retry()
    assert pauses == [60, 120, 240, 480]
    assert len(office.notices) == 1
    office.seal_for(office.keys.public)
    office.retry(3600)
    (place,) = office.places()
    assert (place.state, place.due) == (LocationState.QUARANTINED, None)
    assert not at(path).exists()
    record = office.vault.find(place.vault)
    assert record is not None
    assert record.attributes.mode == before
    assert office.notices[-1].kind is NoticeKind.CASE


def test_what_can_be_neither_sealed_nor_held_is_told_and_tried_again(office: Office) -> None:
    office.seal_for()
    path = office.file("a.png")
    with office.busy(path):
        assert office.settle(path) is Action.OBSERVE
    (place,) = office.places()
    assert (place.state, place.counted_at) == (LocationState.FAILED, None)
    office.retry(60)
    (place,) = office.places()
    assert (place.state, place.counted_at) == (LocationState.HELD, office.clock.now)


@pytest.mark.parametrize("how", ["a file in its place", "swept away in the middle"])
def test_a_vault_that_is_not_there_makes_no_file_a_lost_one(office: Office, how: str) -> None:
    """What is missing is ours: the customer's file goes on being there, and is held."""
    vault = office.home / "state/quarantine"
    if how == "a file in its place":
        vault.touch()
    else:
        office.vault._quarantine._clock = partial(_sweep, vault, office.clock)
    path = office.file("a.png")
    assert office.settle(path) is Action.HOLD
    assert mode(path) == 0
    (place,) = office.places()
    assert (place.state, place.due) == (LocationState.HELD, office.clock.now + 60)


def _sweep(vault: Path, clock: Callable[[], float]) -> float:
    """Remove everything when the time is asked for, just before the intent is written."""
    shutil.rmtree(vault, ignore_errors=True)
    return clock()


@pytest.mark.alone
def test_a_file_that_is_mounted_upon_another_is_held_at_least(office: Office) -> None:
    path, behind = office.file("a.png", b"below"), office.file("b.png")
    done = subprocess.run(["mount", "--bind", behind, path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode()}")
    try:
        assert office.settle(path) is Action.HOLD
        assert mode(path) == 0
        assert "mounted" in office.notices[0].summary
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def test_a_held_file_stays_held_while_sealing_it_fails(office: Office) -> None:
    office.seal_for()
    path = office.file("a.png")
    office.settle(path, UNANSWERED, root=HOLD)
    for _ in range(3):
        assert office.settle(path) is Action.HOLD
    assert mode(path) == 0
    assert office.acts().count("failed") == 1, "it is tried again when that is due, not before"
    office.seal_for(office.keys.public)
    office.retry(3600)
    assert [place.state for place in office.places()] == [LocationState.QUARANTINED]


def test_a_release_that_fails_is_tried_again_unless_it_matches_again(office: Office) -> None:
    path = office.file("a.png")
    office.settle(path, NEAR)
    with office.busy(path):
        assert office.settle(path, NO_MATCH) is Action.HOLD
    (place,) = office.places()
    assert (place.state, place.due) == (LocationState.HELD, office.clock.now + 60)
    assert office.settle(path, NEAR) is Action.HOLD
    office.retry(3600)
    assert mode(path) == 0
    with office.busy(path):
        office.settle(path, NO_MATCH)
    office.retry(3600)
    assert mode(path) != 0
    assert [place.state for place in office.places()] == [LocationState.RELEASED]


def test_what_fails_and_is_gone_when_tried_again_is_gone(office: Office) -> None:
    office.seal_for()
    path = office.file("a.png")
    office.settle(path)
    at(path).unlink()
    office.retry(3600)
    (place,) = office.places()
    assert (place.state, place.due, place.counted_at) == (LocationState.GONE, None, None)

"""Held files are released once the reason has ended, however that is detected."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from hashwacht.cases.case_opening import JudgedFile
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, Match, Signal, Verdict
from hashwacht.quarantine.restore import RestoreRequest
from hashwacht.settings import MatchAction, RootSettings
from hashwacht.storage.locations import LocationState
from support.cases import (
    HOLD,
    NEAR,
    NO_MATCH,
    NOWHERE,
    OBSERVE,
    UNANSWERED,
    CaseHarness,
    at,
    match,
    mode,
)


def stored(harness: CaseHarness, path: bytes) -> JudgedFile:
    """Return the stored record of a file, as a recheck loads it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return harness.judged(path, fd)
    finally:
        os.close(fd)


def test_a_recheck_releases_a_file_known_by_path_only(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    before = mode(path)
    file = replace(stored(harness, path), id=NOWHERE)
    harness.apply(path, NEAR)
    assert harness.recheck(path, file, NO_MATCH) is Action.ALLOW
    assert mode(path) == before
    assert [location.state for location in harness.locations()] == [LocationState.RELEASED]


def test_a_recheck_releases_a_file_that_has_got_another_name(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    before = mode(path)
    file = replace(stored(harness, path), id=NOWHERE)
    harness.apply(path, NEAR)
    moved = at(path).rename(harness.files / "b.png")
    assert harness.recheck(path, file, NO_MATCH) is Action.ALLOW
    assert mode(bytes(moved)) == before


def test_a_recheck_that_matches_does_not_hold_twice(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    file = stored(harness, path)
    harness.apply(path, NEAR)
    acts = harness.events()
    harness.clock.now += 2 * harness.limits.window
    assert harness.recheck(path, file, NEAR) is Action.HOLD
    assert harness.events() == acts


def test_a_held_file_is_released_when_its_copy_stops_matching(
    harness: CaseHarness,
) -> None:
    harness.seal_for()
    path, copy = harness.file("a.png"), harness.file("b.png")
    before = mode(path)
    assert harness.apply(path) is Action.HOLD
    harness.apply(copy, NO_MATCH)
    harness.retry(60)
    assert mode(path) == before
    assert [location.state for location in harness.locations()] == [LocationState.RELEASED]


def test_an_observing_policy_stops_retries(harness: CaseHarness) -> None:
    harness.seal_for()
    harness.holder._records._directory.touch()  # so that holding fails too
    path = harness.file("a.png")
    assert harness.apply(path) is Action.OBSERVE
    harness.seal_for(harness.keys.public)
    harness.retry(60, root=OBSERVE)
    assert at(path).exists()
    assert [(location.state, location.due) for location in harness.locations()] == [
        (LocationState.OBSERVED, None)
    ]
    assert harness.events()[-1] == "left-alone"


def test_a_holding_policy_does_not_seal_at_a_retry(
    harness: CaseHarness,
) -> None:
    harness.seal_for()
    path = harness.file("a.png")
    assert harness.apply(path) is Action.HOLD
    harness.seal_for(harness.keys.public)
    harness.retry(60, root=HOLD)
    assert mode(path) == 0
    assert [(location.state, location.action) for location in harness.locations()] == [
        (LocationState.HELD, Action.HOLD)
    ]


def test_a_released_content_is_not_held_when_undetermined(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    harness.apply(path, root=HOLD)
    list(harness.decisions().release(harness.case(), RestoreRequest("a logo")))
    before = mode(path)
    assert harness.apply(path, UNANSWERED, root=HOLD) is Action.ALLOW
    assert harness.apply(harness.file("b.png"), UNANSWERED, root=HOLD) is Action.ALLOW
    assert mode(path) == before != 0


def test_a_failed_release_survives_an_undetermined_verdict(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    before = mode(path)
    harness.apply(path, NEAR)
    with harness.busy(path):
        (result,) = harness.decisions().release(harness.case(), RestoreRequest("a logo"))
        assert result.failure is not None
    assert harness.apply(path, UNANSWERED) is not Action.QUARANTINE
    harness.retry(60)
    assert mode(path) == before


def test_a_later_known_good_list_releases_and_notifies(
    harness: CaseHarness,
) -> None:
    kept_file, sealed = harness.file("a.png"), harness.file("b.png", b"other")
    before = mode(kept_file)
    harness.apply(kept_file, NEAR)
    harness.apply(sealed)
    good = Match("hashlist", Signal("md5", "0" * 32), 0, "", "wordpress", "", known_good=True)
    verdict = match(Signal("pdq", "0" * 64, 100), known_good=[good])
    assert harness.apply(kept_file, verdict) is Action.ALLOW
    assert mode(kept_file) == before
    harness.notices.clear()
    harness.file("b.png", b"other")
    harness.apply(sealed, verdict)
    (notice,) = harness.notices
    assert notice.kind is NoticeKind.CASE
    assert "no longer matches" in notice.summary


def test_a_milder_category_does_not_release_a_held_file(harness: CaseHarness) -> None:
    """A milder category is still a match: only a decision or no match releases it."""
    path = harness.file("a.png")
    harness.apply(path, NEAR)
    milder = RootSettings("www", on_similar_match=MatchAction.OBSERVE)
    assert harness.apply(path, NEAR, root=milder) is Action.HOLD
    assert mode(path) == 0


def test_a_harmless_file_at_the_old_path_releases_nothing(harness: CaseHarness) -> None:
    """The owner renames the held file and gives its name to another file."""
    path = harness.file("a.png")
    harness.apply(path, NEAR)
    moved = bytes(at(path).rename(harness.files / "b.png"))
    assert harness.apply(moved, NEAR) is Action.HOLD
    harness.file("a.png", b"harmless")
    assert harness.apply(path, NO_MATCH) is Action.ALLOW
    assert mode(moved) == 0
    assert mode(path) != 0


def test_a_held_file_moved_before_a_retry_stays_held(harness: CaseHarness) -> None:
    harness.seal_for()
    path = harness.file("a.png")
    assert harness.apply(path) is Action.HOLD
    moved = bytes(at(path).rename(harness.files / "b.png"))
    harness.retry(60)
    assert [location.state for location in harness.locations()] == [LocationState.GONE]
    assert mode(moved) == 0


def test_a_rewritten_held_file_is_released_at_the_retry(
    harness: CaseHarness,
) -> None:
    harness.seal_for()
    path = harness.file("a.png")
    before = mode(path)
    assert harness.apply(path) is Action.HOLD
    harness.file("a.png", b"harmless")  # by a user who may write
    harness.retry(60)
    assert mode(path) == before


def test_another_content_is_released_at_the_second_attempt(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    before = mode(path)
    harness.apply(path, NEAR)
    harness.file("a.png", b"harmless")
    with harness.busy(path):
        harness.apply(path, NO_MATCH)
    assert mode(path) == 0
    harness.retry(60)
    assert mode(path) == before


def test_a_failed_second_hold_is_retried(
    harness: CaseHarness,
) -> None:
    path = harness.file("a.png")
    harness.apply(path, NEAR)
    at(path).chmod(0o644)
    with harness.busy(path):
        harness.apply(path, NEAR)
    assert mode(path) == 0o644
    harness.retry(60)
    assert mode(path) == 0
    assert [location.state for location in harness.locations()] == [LocationState.HELD]


@pytest.mark.parametrize("verdict", [NEAR, UNANSWERED])
def test_a_held_file_moved_unobserved_is_released_there(
    harness: CaseHarness, verdict: Verdict
) -> None:
    """It was moved while the daemon was down, so its new place is not recorded."""
    path = harness.file("a.png")
    before = mode(path)
    harness.apply(path, verdict, root=replace(HOLD, on_similar_match=MatchAction.HOLD))
    (harness.files / "album").mkdir()
    moved = bytes(at(path).rename(harness.files / "album/a.png"))
    assert harness.apply(moved, UNANSWERED, root=HOLD) is Action.HOLD
    assert mode(moved) == 0, "a missing answer reverts nothing"
    assert harness.apply(moved, NO_MATCH) is Action.ALLOW
    assert mode(moved) == before
    assert harness.events()[-1] == "released"


def test_a_file_without_permissions_or_hold_is_left_alone(harness: CaseHarness) -> None:
    path = harness.file("a.png")
    at(path).chmod(0)
    assert harness.apply(path, NO_MATCH) is Action.ALLOW
    assert mode(path) == 0
    assert harness.events() == []


def test_a_policy_change_releases_undetermined_files(harness: CaseHarness) -> None:
    """An outage that blocks sites is ended by changing the policy, before the service returns."""
    path, second = harness.file("a.png"), harness.file("b.png")
    before = mode(path)
    harness.apply(path, UNANSWERED, root=HOLD)
    harness.apply(second, NEAR)
    harness.retry(root=HOLD)
    assert mode(path) == 0
    harness.retry(root=OBSERVE)
    assert mode(path) == before
    assert mode(second) == 0

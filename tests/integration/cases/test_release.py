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
    CaseBench,
    at,
    match,
    mode,
)


def stored(bench: CaseBench, path: bytes) -> JudgedFile:
    """Return the stored record of a file, as a recheck loads it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return bench.judged(path, fd)
    finally:
        os.close(fd)


def test_a_recheck_releases_a_file_known_by_path_only(bench: CaseBench) -> None:
    path = bench.file("a.png")
    before = mode(path)
    file = replace(stored(bench, path), id=NOWHERE)
    bench.apply(path, NEAR)
    assert bench.recheck(path, file, NO_MATCH) is Action.ALLOW
    assert mode(path) == before
    assert [location.state for location in bench.locations()] == [LocationState.RELEASED]


def test_a_recheck_releases_a_file_that_has_got_another_name(bench: CaseBench) -> None:
    path = bench.file("a.png")
    before = mode(path)
    file = replace(stored(bench, path), id=NOWHERE)
    bench.apply(path, NEAR)
    moved = at(path).rename(bench.files / "b.png")
    assert bench.recheck(path, file, NO_MATCH) is Action.ALLOW
    assert mode(bytes(moved)) == before


def test_a_recheck_that_matches_does_not_hold_twice(bench: CaseBench) -> None:
    path = bench.file("a.png")
    file = stored(bench, path)
    bench.apply(path, NEAR)
    acts = bench.events()
    bench.clock.now += 2 * bench.limits.window
    assert bench.recheck(path, file, NEAR) is Action.HOLD
    assert bench.events() == acts


def test_a_held_file_is_released_when_its_copy_stops_matching(
    bench: CaseBench,
) -> None:
    bench.seal_for()
    path, copy = bench.file("a.png"), bench.file("b.png")
    before = mode(path)
    assert bench.apply(path) is Action.HOLD
    bench.apply(copy, NO_MATCH)
    bench.retry(60)
    assert mode(path) == before
    assert [location.state for location in bench.locations()] == [LocationState.RELEASED]


def test_an_observing_policy_stops_retries(bench: CaseBench) -> None:
    bench.seal_for()
    bench.holder._records._directory.touch()  # so that holding fails too
    path = bench.file("a.png")
    assert bench.apply(path) is Action.OBSERVE
    bench.seal_for(bench.keys.public)
    bench.retry(60, root=OBSERVE)
    assert at(path).exists()
    assert [(location.state, location.due) for location in bench.locations()] == [
        (LocationState.OBSERVED, None)
    ]
    assert bench.events()[-1] == "left-alone"


def test_a_holding_policy_does_not_seal_at_a_retry(
    bench: CaseBench,
) -> None:
    bench.seal_for()
    path = bench.file("a.png")
    assert bench.apply(path) is Action.HOLD
    bench.seal_for(bench.keys.public)
    bench.retry(60, root=HOLD)
    assert mode(path) == 0
    assert [(location.state, location.action) for location in bench.locations()] == [
        (LocationState.HELD, Action.HOLD)
    ]


def test_a_released_content_is_not_held_when_undetermined(bench: CaseBench) -> None:
    path = bench.file("a.png")
    bench.apply(path, root=HOLD)
    list(bench.decisions().release(bench.case(), RestoreRequest("a logo")))
    before = mode(path)
    assert bench.apply(path, UNANSWERED, root=HOLD) is Action.ALLOW
    assert bench.apply(bench.file("b.png"), UNANSWERED, root=HOLD) is Action.ALLOW
    assert mode(path) == before != 0


def test_a_failed_release_survives_an_undetermined_verdict(bench: CaseBench) -> None:
    path = bench.file("a.png")
    before = mode(path)
    bench.apply(path, NEAR)
    with bench.busy(path):
        (result,) = bench.decisions().release(bench.case(), RestoreRequest("a logo"))
        assert result.failure is not None
    assert bench.apply(path, UNANSWERED) is not Action.QUARANTINE
    bench.retry(60)
    assert mode(path) == before


def test_a_later_known_good_list_releases_and_notifies(
    bench: CaseBench,
) -> None:
    kept_file, sealed = bench.file("a.png"), bench.file("b.png", b"other")
    before = mode(kept_file)
    bench.apply(kept_file, NEAR)
    bench.apply(sealed)
    good = Match("hashlist", Signal("md5", "0" * 32), 0, "", "wordpress", "", known_good=True)
    verdict = match(Signal("pdq", "0" * 64, 100), known_good=[good])
    assert bench.apply(kept_file, verdict) is Action.ALLOW
    assert mode(kept_file) == before
    bench.notices.clear()
    bench.file("b.png", b"other")
    bench.apply(sealed, verdict)
    (notice,) = bench.notices
    assert notice.kind is NoticeKind.CASE
    assert "no longer matches" in notice.summary


def test_a_milder_category_does_not_release_a_held_file(bench: CaseBench) -> None:
    """A milder category is still a match: only a decision or no match releases it."""
    path = bench.file("a.png")
    bench.apply(path, NEAR)
    milder = RootSettings("www", on_similar_match=MatchAction.OBSERVE)
    assert bench.apply(path, NEAR, root=milder) is Action.HOLD
    assert mode(path) == 0


def test_a_harmless_file_at_the_old_path_releases_nothing(bench: CaseBench) -> None:
    """The owner renames the held file and gives its name to another file."""
    path = bench.file("a.png")
    bench.apply(path, NEAR)
    moved = bytes(at(path).rename(bench.files / "b.png"))
    assert bench.apply(moved, NEAR) is Action.HOLD
    bench.file("a.png", b"harmless")
    assert bench.apply(path, NO_MATCH) is Action.ALLOW
    assert mode(moved) == 0
    assert mode(path) != 0


def test_a_held_file_moved_before_a_retry_stays_held(bench: CaseBench) -> None:
    bench.seal_for()
    path = bench.file("a.png")
    assert bench.apply(path) is Action.HOLD
    moved = bytes(at(path).rename(bench.files / "b.png"))
    bench.retry(60)
    assert [location.state for location in bench.locations()] == [LocationState.GONE]
    assert mode(moved) == 0


def test_a_rewritten_held_file_is_released_at_the_retry(
    bench: CaseBench,
) -> None:
    bench.seal_for()
    path = bench.file("a.png")
    before = mode(path)
    assert bench.apply(path) is Action.HOLD
    bench.file("a.png", b"harmless")  # by a user who may write
    bench.retry(60)
    assert mode(path) == before


def test_another_content_is_released_at_the_second_attempt(bench: CaseBench) -> None:
    path = bench.file("a.png")
    before = mode(path)
    bench.apply(path, NEAR)
    bench.file("a.png", b"harmless")
    with bench.busy(path):
        bench.apply(path, NO_MATCH)
    assert mode(path) == 0
    bench.retry(60)
    assert mode(path) == before


def test_a_failed_second_hold_is_retried(
    bench: CaseBench,
) -> None:
    path = bench.file("a.png")
    bench.apply(path, NEAR)
    at(path).chmod(0o644)
    with bench.busy(path):
        bench.apply(path, NEAR)
    assert mode(path) == 0o644
    bench.retry(60)
    assert mode(path) == 0
    assert [location.state for location in bench.locations()] == [LocationState.HELD]


@pytest.mark.parametrize("verdict", [NEAR, UNANSWERED])
def test_a_held_file_moved_unobserved_is_released_there(bench: CaseBench, verdict: Verdict) -> None:
    """It was moved while the daemon was down, so its new place is not recorded."""
    path = bench.file("a.png")
    before = mode(path)
    bench.apply(path, verdict, root=replace(HOLD, on_similar_match=MatchAction.HOLD))
    (bench.files / "album").mkdir()
    moved = bytes(at(path).rename(bench.files / "album/a.png"))
    assert bench.apply(moved, UNANSWERED, root=HOLD) is Action.HOLD
    assert mode(moved) == 0, "a missing answer reverts nothing"
    assert bench.apply(moved, NO_MATCH) is Action.ALLOW
    assert mode(moved) == before
    assert bench.events()[-1] == "released"


def test_a_file_without_permissions_or_hold_is_left_alone(bench: CaseBench) -> None:
    path = bench.file("a.png")
    at(path).chmod(0)
    assert bench.apply(path, NO_MATCH) is Action.ALLOW
    assert mode(path) == 0
    assert bench.events() == []


def test_a_policy_change_releases_undetermined_files(bench: CaseBench) -> None:
    """An outage that blocks sites is ended by changing the policy, before the service returns."""
    path, second = bench.file("a.png"), bench.file("b.png")
    before = mode(path)
    bench.apply(path, UNANSWERED, root=HOLD)
    bench.apply(second, NEAR)
    bench.retry(root=HOLD)
    assert mode(path) == 0
    bench.retry(root=OBSERVE)
    assert mode(path) == before
    assert mode(second) == 0

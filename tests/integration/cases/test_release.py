"""What is held is let go when its reason is gone, whichever way that becomes known."""

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
    """Give what the state knows of a file, as a recheck finds it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return bench.judged(path, fd)
    finally:
        os.close(fd)


def test_a_recheck_releases_a_file_that_it_only_knows_by_its_path(bench: CaseBench) -> None:
    path = bench.file("a.png")
    before = mode(path)
    known = replace(stored(bench, path), id=NOWHERE)
    bench.apply(path, NEAR)
    assert bench.recheck(path, known, NO_MATCH) is Action.ALLOW
    assert mode(path) == before
    assert [location.state for location in bench.locations()] == [LocationState.RELEASED]


def test_a_recheck_releases_a_file_that_has_got_another_name(bench: CaseBench) -> None:
    path = bench.file("a.png")
    before = mode(path)
    known = replace(stored(bench, path), id=NOWHERE)
    bench.apply(path, NEAR)
    moved = at(path).rename(bench.files / "b.png")
    assert bench.recheck(path, known, NO_MATCH) is Action.ALLOW
    assert mode(bytes(moved)) == before


def test_a_recheck_that_matches_again_does_not_hold_again_what_is_held(bench: CaseBench) -> None:
    path = bench.file("a.png")
    known = stored(bench, path)
    bench.apply(path, NEAR)
    acts = bench.events()
    bench.clock.now += 2 * bench.limits.window
    assert bench.recheck(path, known, NEAR) is Action.HOLD
    assert bench.events() == acts


def test_what_waits_held_to_be_sealed_is_released_when_another_copy_matches_no_more(
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


def test_a_policy_that_only_observes_by_now_stops_what_is_tried_again(bench: CaseBench) -> None:
    bench.seal_for()
    bench.holder._records._directory.touch()  # so that it cannot be held either
    path = bench.file("a.png")
    assert bench.apply(path) is Action.OBSERVE
    bench.seal_for(bench.keys.public)
    bench.retry(60, root=OBSERVE)
    assert at(path).exists()
    assert [(location.state, location.due) for location in bench.locations()] == [
        (LocationState.OBSERVED, None)
    ]
    assert bench.events()[-1] == "left-alone"


def test_a_policy_that_only_holds_by_now_does_not_seal_what_is_tried_again(
    bench: CaseBench,
) -> None:
    bench.seal_for()
    path = bench.file("a.png")
    assert bench.apply(path) is Action.HOLD
    bench.seal_for(bench.keys.public)
    bench.retry(60, root=HOLD)
    assert mode(path) == 0
    assert [(each.state, each.action) for each in bench.locations()] == [
        (LocationState.HELD, Action.HOLD)
    ]


def test_what_a_person_released_is_not_held_because_nobody_answers(bench: CaseBench) -> None:
    path = bench.file("a.png")
    bench.apply(path, root=HOLD)
    list(bench.decisions().release(bench.case(), RestoreRequest("a logo")))
    before = mode(path)
    assert bench.apply(path, UNANSWERED, root=HOLD) is Action.ALLOW
    assert bench.apply(bench.file("b.png"), UNANSWERED, root=HOLD) is Action.ALLOW
    assert mode(path) == before != 0


def test_a_release_that_failed_is_not_forgotten_because_nobody_answers(bench: CaseBench) -> None:
    path = bench.file("a.png")
    before = mode(path)
    bench.apply(path, NEAR)
    with bench.busy(path):
        (result,) = bench.decisions().release(bench.case(), RestoreRequest("a logo"))
        assert result.failure is not None
    assert bench.apply(path, UNANSWERED) is not Action.QUARANTINE
    bench.retry(60)
    assert mode(path) == before


def test_a_known_good_list_that_comes_later_releases_what_is_held_and_tells(
    bench: CaseBench,
) -> None:
    held, sealed = bench.file("a.png"), bench.file("b.png", b"other")
    before = mode(held)
    bench.apply(held, NEAR)
    bench.apply(sealed)
    good = Match("hashlist", Signal("md5", "0" * 32), 0, "", "wordpress", "", known_good=True)
    known = match(Signal("pdq", "0" * 64, 100), known_good=[good])
    assert bench.apply(held, known) is Action.ALLOW
    assert mode(held) == before
    bench.notices.clear()
    bench.file("b.png", b"other")
    bench.apply(sealed, known)
    (notice,) = bench.notices
    assert notice.kind is NoticeKind.CASE
    assert "no longer matches" in notice.summary


def test_a_category_that_is_observed_by_now_does_not_open_what_is_held(bench: CaseBench) -> None:
    """Milder is not harmless: only a person, or no match, gives it back."""
    path = bench.file("a.png")
    bench.apply(path, NEAR)
    milder = RootSettings("www", on_similar_match=MatchAction.OBSERVE)
    assert bench.apply(path, NEAR, root=milder) is Action.HOLD
    assert mode(path) == 0


def test_something_harmless_under_the_old_name_does_not_open_what_is_held(bench: CaseBench) -> None:
    """Its owner gives the held file another name, and its name to another file."""
    path = bench.file("a.png")
    bench.apply(path, NEAR)
    moved = bytes(at(path).rename(bench.files / "b.png"))
    assert bench.apply(moved, NEAR) is Action.HOLD
    bench.file("a.png", b"harmless")
    assert bench.apply(path, NO_MATCH) is Action.ALLOW
    assert mode(moved) == 0
    assert mode(path) != 0


def test_what_was_moved_away_from_a_place_that_is_tried_again_stays_held(bench: CaseBench) -> None:
    bench.seal_for()
    path = bench.file("a.png")
    assert bench.apply(path) is Action.HOLD
    moved = bytes(at(path).rename(bench.files / "b.png"))
    bench.retry(60)
    assert [location.state for location in bench.locations()] == [LocationState.GONE]
    assert mode(moved) == 0


def test_a_held_file_that_is_written_anew_is_released_when_it_is_tried_again(
    bench: CaseBench,
) -> None:
    bench.seal_for()
    path = bench.file("a.png")
    before = mode(path)
    assert bench.apply(path) is Action.HOLD
    bench.file("a.png", b"harmless")  # by somebody who may
    bench.retry(60)
    assert mode(path) == before


def test_another_content_is_released_even_if_that_fails_at_first(bench: CaseBench) -> None:
    path = bench.file("a.png")
    before = mode(path)
    bench.apply(path, NEAR)
    bench.file("a.png", b"harmless")
    with bench.busy(path):
        bench.apply(path, NO_MATCH)
    assert mode(path) == 0
    bench.retry(60)
    assert mode(path) == before


def test_a_file_that_could_not_be_held_again_is_held_when_that_is_tried_again(
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
def test_a_held_file_that_was_moved_unseen_is_released_where_it_is_met(
    bench: CaseBench, verdict: Verdict
) -> None:
    """Say while the daemon was down: nothing is known of it at its new place."""
    path = bench.file("a.png")
    before = mode(path)
    bench.apply(path, verdict, root=replace(HOLD, on_similar_match=MatchAction.HOLD))
    (bench.files / "album").mkdir()
    moved = bytes(at(path).rename(bench.files / "album/a.png"))
    assert bench.apply(moved, UNANSWERED, root=HOLD) is Action.HOLD
    assert mode(moved) == 0, "an answer that is missing takes nothing back"
    assert bench.apply(moved, NO_MATCH) is Action.ALLOW
    assert mode(moved) == before
    assert bench.events()[-1] == "released"


def test_a_file_without_permissions_that_nobody_held_is_left_as_it_is(bench: CaseBench) -> None:
    path = bench.file("a.png")
    at(path).chmod(0)
    assert bench.apply(path, NO_MATCH) is Action.ALLOW
    assert mode(path) == 0
    assert bench.events() == []


def test_a_policy_that_no_longer_holds_what_is_undetermined_releases_it(bench: CaseBench) -> None:
    """An outage that takes sites down is ended by changing the policy, not by its end."""
    path, other = bench.file("a.png"), bench.file("b.png")
    before = mode(path)
    bench.apply(path, UNANSWERED, root=HOLD)
    bench.apply(other, NEAR)
    bench.retry(root=HOLD)
    assert mode(path) == 0
    bench.retry(root=OBSERVE)
    assert mode(path) == before
    assert mode(other) == 0

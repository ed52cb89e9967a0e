"""What is held is let go when its reason is gone, whichever way that becomes known."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from hashwacht.cases.case_opening import JudgedFile
from hashwacht.cases.file_actions import RestoreRequest
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, Match, Signal, Verdict
from hashwacht.settings import MatchAction, RootSettings
from hashwacht.storage.locations import LocationState
from support.casework import (
    HOLD,
    NEAR,
    NO_MATCH,
    NOWHERE,
    OBSERVE,
    UNANSWERED,
    Office,
    at,
    match,
    mode,
)


def stored(office: Office, path: bytes) -> JudgedFile:
    """Give what the state knows of a file, as a recheck finds it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return office.found(path, fd)
    finally:
        os.close(fd)


def test_a_recheck_releases_a_file_that_it_only_knows_by_its_path(office: Office) -> None:
    path = office.file("a.png")
    before = mode(path)
    known = replace(stored(office, path), id=NOWHERE)
    office.settle(path, NEAR)
    assert office.again(path, known, NO_MATCH) is Action.ALLOW
    assert mode(path) == before
    assert [place.state for place in office.places()] == [LocationState.RELEASED]


def test_a_recheck_releases_a_file_that_has_got_another_name(office: Office) -> None:
    path = office.file("a.png")
    before = mode(path)
    known = replace(stored(office, path), id=NOWHERE)
    office.settle(path, NEAR)
    moved = at(path).rename(office.files / "b.png")
    assert office.again(path, known, NO_MATCH) is Action.ALLOW
    assert mode(bytes(moved)) == before


def test_a_recheck_that_matches_again_does_not_hold_again_what_is_held(office: Office) -> None:
    path = office.file("a.png")
    known = stored(office, path)
    office.settle(path, NEAR)
    acts = office.acts()
    office.clock.now += 2 * office.guard.window
    assert office.again(path, known, NEAR) is Action.HOLD
    assert office.acts() == acts


def test_what_waits_held_to_be_sealed_is_released_when_another_copy_matches_no_more(
    office: Office,
) -> None:
    office.seal_for()
    path, copy = office.file("a.png"), office.file("b.png")
    before = mode(path)
    assert office.settle(path) is Action.HOLD
    office.settle(copy, NO_MATCH)
    office.retry(60)
    assert mode(path) == before
    assert [place.state for place in office.places()] == [LocationState.RELEASED]


def test_a_policy_that_only_observes_by_now_stops_what_is_tried_again(office: Office) -> None:
    office.seal_for()
    office.held._records._directory.touch()  # so that it cannot be held either
    path = office.file("a.png")
    assert office.settle(path) is Action.OBSERVE
    office.seal_for(office.keys.public)
    office.retry(60, root=OBSERVE)
    assert at(path).exists()
    assert [(place.state, place.due) for place in office.places()] == [
        (LocationState.OBSERVED, None)
    ]
    assert office.acts()[-1] == "left-alone"


def test_a_policy_that_only_holds_by_now_does_not_seal_what_is_tried_again(office: Office) -> None:
    office.seal_for()
    path = office.file("a.png")
    assert office.settle(path) is Action.HOLD
    office.seal_for(office.keys.public)
    office.retry(60, root=HOLD)
    assert mode(path) == 0
    assert [(each.state, each.action) for each in office.places()] == [
        (LocationState.HELD, Action.HOLD)
    ]


def test_what_a_person_released_is_not_held_because_nobody_answers(office: Office) -> None:
    path = office.file("a.png")
    office.settle(path, root=HOLD)
    list(office.decisions().release(office.case(), RestoreRequest("a logo")))
    before = mode(path)
    assert office.settle(path, UNANSWERED, root=HOLD) is Action.ALLOW
    assert office.settle(office.file("b.png"), UNANSWERED, root=HOLD) is Action.ALLOW
    assert mode(path) == before != 0


def test_a_release_that_failed_is_not_forgotten_because_nobody_answers(office: Office) -> None:
    path = office.file("a.png")
    before = mode(path)
    office.settle(path, NEAR)
    with office.busy(path):
        (outcome,) = office.decisions().release(office.case(), RestoreRequest("a logo"))
        assert outcome.problem is not None
    assert office.settle(path, UNANSWERED) is not Action.QUARANTINE
    office.retry(60)
    assert mode(path) == before


def test_a_known_good_list_that_comes_later_releases_what_is_held_and_tells(
    office: Office,
) -> None:
    held, sealed = office.file("a.png"), office.file("b.png", b"other")
    before = mode(held)
    office.settle(held, NEAR)
    office.settle(sealed)
    good = Match("hashlist", Signal("md5", "0" * 32), 0, "", "wordpress", "", known_good=True)
    known = match(Signal("pdq", "0" * 64, 100), known_good=[good])
    assert office.settle(held, known) is Action.ALLOW
    assert mode(held) == before
    office.notices.clear()
    office.file("b.png", b"other")
    office.settle(sealed, known)
    (notice,) = office.notices
    assert notice.kind is NoticeKind.CASE
    assert "no longer matches" in notice.summary


def test_a_category_that_is_observed_by_now_does_not_open_what_is_held(office: Office) -> None:
    """Milder is not harmless: only a person, or no match, gives it back."""
    path = office.file("a.png")
    office.settle(path, NEAR)
    milder = RootSettings("www", on_similar_match=MatchAction.OBSERVE)
    assert office.settle(path, NEAR, root=milder) is Action.HOLD
    assert mode(path) == 0


def test_something_harmless_under_the_old_name_does_not_open_what_is_held(office: Office) -> None:
    """Its owner gives the held file another name, and its name to another file."""
    path = office.file("a.png")
    office.settle(path, NEAR)
    moved = bytes(at(path).rename(office.files / "b.png"))
    assert office.settle(moved, NEAR) is Action.HOLD
    office.file("a.png", b"harmless")
    assert office.settle(path, NO_MATCH) is Action.ALLOW
    assert mode(moved) == 0
    assert mode(path) != 0


def test_what_was_moved_away_from_a_place_that_is_tried_again_stays_held(office: Office) -> None:
    office.seal_for()
    path = office.file("a.png")
    assert office.settle(path) is Action.HOLD
    moved = bytes(at(path).rename(office.files / "b.png"))
    office.retry(60)
    assert [place.state for place in office.places()] == [LocationState.GONE]
    assert mode(moved) == 0


def test_a_held_file_that_is_written_anew_is_released_when_it_is_tried_again(
    office: Office,
) -> None:
    office.seal_for()
    path = office.file("a.png")
    before = mode(path)
    assert office.settle(path) is Action.HOLD
    office.file("a.png", b"harmless")  # by somebody who may
    office.retry(60)
    assert mode(path) == before


def test_another_content_is_released_even_if_that_fails_at_first(office: Office) -> None:
    path = office.file("a.png")
    before = mode(path)
    office.settle(path, NEAR)
    office.file("a.png", b"harmless")
    with office.busy(path):
        office.settle(path, NO_MATCH)
    assert mode(path) == 0
    office.retry(60)
    assert mode(path) == before


def test_a_file_that_could_not_be_held_again_is_held_when_that_is_tried_again(
    office: Office,
) -> None:
    path = office.file("a.png")
    office.settle(path, NEAR)
    at(path).chmod(0o644)
    with office.busy(path):
        office.settle(path, NEAR)
    assert mode(path) == 0o644
    office.retry(60)
    assert mode(path) == 0
    assert [place.state for place in office.places()] == [LocationState.HELD]


@pytest.mark.parametrize("verdict", [NEAR, UNANSWERED])
def test_a_held_file_that_was_moved_unseen_is_released_where_it_is_met(
    office: Office, verdict: Verdict
) -> None:
    """Say while the daemon was down: nothing is known of it at its new place."""
    path = office.file("a.png")
    before = mode(path)
    office.settle(path, verdict, root=replace(HOLD, on_similar_match=MatchAction.HOLD))
    (office.files / "album").mkdir()
    moved = bytes(at(path).rename(office.files / "album/a.png"))
    assert office.settle(moved, UNANSWERED, root=HOLD) is Action.HOLD
    assert mode(moved) == 0, "an answer that is missing takes nothing back"
    assert office.settle(moved, NO_MATCH) is Action.ALLOW
    assert mode(moved) == before
    assert office.acts()[-1] == "released"


def test_a_file_without_permissions_that_nobody_held_is_left_as_it_is(office: Office) -> None:
    path = office.file("a.png")
    at(path).chmod(0)
    assert office.settle(path, NO_MATCH) is Action.ALLOW
    assert mode(path) == 0
    assert office.acts() == []


def test_a_policy_that_no_longer_holds_what_is_undetermined_releases_it(office: Office) -> None:
    """An outage that takes sites down is ended by changing the policy, not by its end."""
    path, other = office.file("a.png"), office.file("b.png")
    before = mode(path)
    office.settle(path, UNANSWERED, root=HOLD)
    office.settle(other, NEAR)
    office.retry(root=HOLD)
    assert mode(path) == 0
    office.retry(root=OBSERVE)
    assert mode(path) == before
    assert mode(other) == 0

"""Decisions of people, and what each of them leaves alone."""

from __future__ import annotations

import os

import pytest

from hashwacht.cases.decisions import CaseDecisions
from hashwacht.cases.file_actions import RestoreRequest
from hashwacht.core.types import Action
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import LocationState
from support.casework import HOLD, Office, at


@pytest.fixture
def decisions(office: Office) -> CaseDecisions:
    return office.decisions()


def test_a_file_that_was_restored_elsewhere_still_says_where_it_was_found(
    office: Office, decisions: CaseDecisions
) -> None:
    path = office.file("a.png")
    office.settle(path)
    elsewhere = bytes(office.home / "elsewhere.png")
    (place,) = office.places()
    decisions.restore(place, RestoreRequest("why", (office.keys.secret,), elsewhere))
    (place,) = office.places()
    assert (place.state, place.path) == (LocationState.RESTORED, elsewhere)
    assert str(at(path)) in place.detail


def test_a_case_is_closed_by_itself_only_when_nothing_of_it_is_left(
    office: Office, decisions: CaseDecisions
) -> None:
    for name in ("a.png", "b.png"):
        office.settle(office.file(name))
    for place, state in zip(office.places(), (CaseState.OPEN, CaseState.CLOSED), strict=True):
        decisions.destroy(place, "why")
        decisions.close_if_done(office.case(), "why")
        assert office.case().state is state


def test_a_held_file_that_a_person_restored_stays_so_when_it_is_looked_at_again(
    office: Office, decisions: CaseDecisions
) -> None:
    path = office.file("a.png")
    before = at(path).stat().st_mode
    office.settle(path, root=HOLD)
    (place,) = office.places()
    assert (
        decisions.restore(place, RestoreRequest("a mistake")).place.state is LocationState.RESTORED
    )
    assert office.settle(path, root=HOLD) is Action.ALLOW
    assert at(path).stat().st_mode == before


def test_a_restored_file_is_not_held_because_it_was_seen_on_its_way(
    office: Office, decisions: CaseDecisions
) -> None:
    """It was read in the directory in which it was put together, and judged after that."""
    path = office.file("a.png")
    office.settle(path)
    (place,) = office.places()
    decisions.restore(place, RestoreRequest("a mistake", (office.keys.secret,)))
    before = at(path).stat().st_mode
    passing = office.files / f".hashwacht-{place.vault}" / place.vault
    fd = os.open(path, os.O_RDONLY)
    assert office.with_root(HOLD).settle(office.found(bytes(passing), fd)) is Action.ALLOW
    os.close(fd)
    assert at(path).stat().st_mode == before
    assert len(office.places()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_of_that_name_that_is_not_ours_hides_nothing(office: Office) -> None:
    office.settle(office.file("a.png"))
    (place,) = office.places()
    decoy = office.files / f".hashwacht-{place.vault}"
    decoy.mkdir()
    os.chown(decoy, 65534, 65534)
    path = office.file(f"{decoy.name}/{place.vault}")
    assert office.settle(path) is Action.QUARANTINE
    assert not at(path).exists()


def test_a_held_file_is_restored_under_all_its_names(
    office: Office, decisions: CaseDecisions
) -> None:
    """They are one file: what was held again under the other name would be shut here, too."""
    first = office.file("a.png")
    (office.files / "b.png").hardlink_to(at(first))
    second = bytes(office.files / "b.png")
    for path in (first, second):
        assert office.settle(path, root=HOLD) is Action.HOLD
    decisions.restore(office.places()[0], RestoreRequest("a mistake"))
    assert {place.state for place in office.places()} == {LocationState.RESTORED}
    for path in (second, first):
        assert office.settle(path, root=HOLD) is Action.ALLOW
    assert at(first).stat().st_mode & 0o777 != 0


def test_what_was_restored_or_destroyed_cannot_be_so_once_more(
    office: Office, decisions: CaseDecisions
) -> None:
    secrets = (office.keys.secret,)
    for name in ("a.png", "b.png"):
        office.settle(office.file(name))
    restored, destroyed = office.places()
    decisions.restore(restored, RestoreRequest("why", secrets))
    decisions.destroy(destroyed, "why")
    for place in (restored, destroyed):
        for outcome in (
            decisions.restore(place, RestoreRequest("why", secrets)),
            decisions.destroy(place, "why"),
        ):
            assert outcome.problem is not None
            assert outcome.problem.advice
    assert at(restored.path).read_bytes() == b"known"


def test_two_people_who_decide_at_once_each_learn_what_came_of_it(
    office: Office, decisions: CaseDecisions
) -> None:
    """The second one still has in hand how the file stood before the first decided."""
    office.settle(office.file("a.png"))
    (before,) = office.places()
    assert decisions.destroy(before, "destroyed").problem is None
    late = decisions.restore(before, RestoreRequest("restored", (office.keys.secret,)))
    assert late.problem is not None
    assert late.place.state is LocationState.DESTROYED

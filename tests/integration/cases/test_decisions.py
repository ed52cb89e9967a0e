"""Decisions, and what each of them does not change."""

from __future__ import annotations

import os

import pytest

from hashwacht.cases.decisions import CaseDecisions
from hashwacht.core.types import Action
from hashwacht.quarantine.restore import RestoreRequest
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import LocationState
from support.cases import HOLD, CaseHarness, at


@pytest.fixture
def decisions(harness: CaseHarness) -> CaseDecisions:
    return harness.decisions()


def test_a_file_restored_elsewhere_shows_its_original_path(
    harness: CaseHarness, decisions: CaseDecisions
) -> None:
    path = harness.file("a.png")
    harness.apply(path)
    elsewhere = bytes(harness.home / "elsewhere.png")
    (location,) = harness.locations()
    decisions.restore(location, RestoreRequest("why", (harness.keys.secret,), elsewhere))
    (location,) = harness.locations()
    assert (location.state, location.path) == (LocationState.RESTORED, elsewhere)
    assert str(at(path)) in location.detail


def test_a_case_closes_automatically_when_no_file_is_left(
    harness: CaseHarness, decisions: CaseDecisions
) -> None:
    for name in ("a.png", "b.png"):
        harness.apply(harness.file(name))
    for location, state in zip(
        harness.locations(), (CaseState.OPEN, CaseState.CLOSED), strict=True
    ):
        decisions.destroy(location, "why")
        decisions.close_if_done(harness.case(), "why")
        assert harness.case().state is state


def test_a_restored_held_file_is_not_held_again(
    harness: CaseHarness, decisions: CaseDecisions
) -> None:
    path = harness.file("a.png")
    before = at(path).stat().st_mode
    harness.apply(path, root=HOLD)
    (location,) = harness.locations()
    assert (
        decisions.restore(location, RestoreRequest("a mistake")).location.state
        is LocationState.RESTORED
    )
    assert harness.apply(path, root=HOLD) is Action.ALLOW
    assert at(path).stat().st_mode == before


def test_a_restored_file_is_not_held_by_its_staging_path(
    harness: CaseHarness, decisions: CaseDecisions
) -> None:
    """It is read in its staging directory and judged after it was restored."""
    path = harness.file("a.png")
    harness.apply(path)
    (location,) = harness.locations()
    decisions.restore(location, RestoreRequest("a mistake", (harness.keys.secret,)))
    before = at(path).stat().st_mode
    passing = harness.files / f".hashwacht-{location.vault}" / location.vault
    fd = os.open(path, os.O_RDONLY)
    assert harness.with_root(HOLD).apply_verdict(harness.judged(bytes(passing), fd)) is Action.ALLOW
    os.close(fd)
    assert at(path).stat().st_mode == before
    assert len(harness.locations()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_of_that_name_that_is_not_ours_hides_nothing(harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    (location,) = harness.locations()
    decoy = harness.files / f".hashwacht-{location.vault}"
    decoy.mkdir()
    os.chown(decoy, 65534, 65534)
    path = harness.file(f"{decoy.name}/{location.vault}")
    assert harness.apply(path) is Action.QUARANTINE
    assert not at(path).exists()


def test_a_held_file_is_restored_under_all_its_names(
    harness: CaseHarness, decisions: CaseDecisions
) -> None:
    """The names share one inode: holding it under the other name would block this one too."""
    first = harness.file("a.png")
    (harness.files / "b.png").hardlink_to(at(first))
    second = bytes(harness.files / "b.png")
    for path in (first, second):
        assert harness.apply(path, root=HOLD) is Action.HOLD
    decisions.restore(harness.locations()[0], RestoreRequest("a mistake"))
    assert {location.state for location in harness.locations()} == {LocationState.RESTORED}
    for path in (second, first):
        assert harness.apply(path, root=HOLD) is Action.ALLOW
    assert at(first).stat().st_mode & 0o777 != 0


def test_what_was_restored_or_destroyed_cannot_be_so_once_more(
    harness: CaseHarness, decisions: CaseDecisions
) -> None:
    secrets = (harness.keys.secret,)
    for name in ("a.png", "b.png"):
        harness.apply(harness.file(name))
    restored, destroyed = harness.locations()
    decisions.restore(restored, RestoreRequest("why", secrets))
    decisions.destroy(destroyed, "why")
    for location in (restored, destroyed):
        for result in (
            decisions.restore(location, RestoreRequest("why", secrets)),
            decisions.destroy(location, "why"),
        ):
            assert result.failure is not None
            assert result.failure.advice
    assert at(restored.path).read_bytes() == b"known"


def test_the_second_of_two_decisions_fails_with_the_state(
    harness: CaseHarness, decisions: CaseDecisions
) -> None:
    """The second one has loaded the file's state before the first was carried out."""
    harness.apply(harness.file("a.png"))
    (before,) = harness.locations()
    assert decisions.destroy(before, "destroyed").failure is None
    late = decisions.restore(before, RestoreRequest("restored", (harness.keys.secret,)))
    assert late.failure is not None
    assert late.location.state is LocationState.DESTROYED

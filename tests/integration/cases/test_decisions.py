"""Decisions, and what each of them does not change."""

from __future__ import annotations

import os

import pytest

from hashwacht.cases.decisions import CaseDecisions
from hashwacht.core.types import Action
from hashwacht.quarantine.restore import RestoreRequest
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import LocationState
from support.cases import HOLD, CaseBench, at


@pytest.fixture
def decisions(bench: CaseBench) -> CaseDecisions:
    return bench.decisions()


def test_a_file_restored_elsewhere_shows_its_original_path(
    bench: CaseBench, decisions: CaseDecisions
) -> None:
    path = bench.file("a.png")
    bench.apply(path)
    elsewhere = bytes(bench.home / "elsewhere.png")
    (location,) = bench.locations()
    decisions.restore(location, RestoreRequest("why", (bench.keys.secret,), elsewhere))
    (location,) = bench.locations()
    assert (location.state, location.path) == (LocationState.RESTORED, elsewhere)
    assert str(at(path)) in location.detail


def test_a_case_closes_automatically_when_no_file_is_left(
    bench: CaseBench, decisions: CaseDecisions
) -> None:
    for name in ("a.png", "b.png"):
        bench.apply(bench.file(name))
    for location, state in zip(bench.locations(), (CaseState.OPEN, CaseState.CLOSED), strict=True):
        decisions.destroy(location, "why")
        decisions.close_if_done(bench.case(), "why")
        assert bench.case().state is state


def test_a_restored_held_file_is_not_held_again(bench: CaseBench, decisions: CaseDecisions) -> None:
    path = bench.file("a.png")
    before = at(path).stat().st_mode
    bench.apply(path, root=HOLD)
    (location,) = bench.locations()
    assert (
        decisions.restore(location, RestoreRequest("a mistake")).location.state
        is LocationState.RESTORED
    )
    assert bench.apply(path, root=HOLD) is Action.ALLOW
    assert at(path).stat().st_mode == before


def test_a_restored_file_is_not_held_by_its_staging_path(
    bench: CaseBench, decisions: CaseDecisions
) -> None:
    """It is read in its staging directory and judged after it was restored."""
    path = bench.file("a.png")
    bench.apply(path)
    (location,) = bench.locations()
    decisions.restore(location, RestoreRequest("a mistake", (bench.keys.secret,)))
    before = at(path).stat().st_mode
    passing = bench.files / f".hashwacht-{location.vault}" / location.vault
    fd = os.open(path, os.O_RDONLY)
    assert bench.with_root(HOLD).apply_verdict(bench.judged(bytes(passing), fd)) is Action.ALLOW
    os.close(fd)
    assert at(path).stat().st_mode == before
    assert len(bench.locations()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_of_that_name_that_is_not_ours_hides_nothing(bench: CaseBench) -> None:
    bench.apply(bench.file("a.png"))
    (location,) = bench.locations()
    decoy = bench.files / f".hashwacht-{location.vault}"
    decoy.mkdir()
    os.chown(decoy, 65534, 65534)
    path = bench.file(f"{decoy.name}/{location.vault}")
    assert bench.apply(path) is Action.QUARANTINE
    assert not at(path).exists()


def test_a_held_file_is_restored_under_all_its_names(
    bench: CaseBench, decisions: CaseDecisions
) -> None:
    """The names share one inode: holding it under the other name would block this one too."""
    first = bench.file("a.png")
    (bench.files / "b.png").hardlink_to(at(first))
    second = bytes(bench.files / "b.png")
    for path in (first, second):
        assert bench.apply(path, root=HOLD) is Action.HOLD
    decisions.restore(bench.locations()[0], RestoreRequest("a mistake"))
    assert {location.state for location in bench.locations()} == {LocationState.RESTORED}
    for path in (second, first):
        assert bench.apply(path, root=HOLD) is Action.ALLOW
    assert at(first).stat().st_mode & 0o777 != 0


def test_what_was_restored_or_destroyed_cannot_be_so_once_more(
    bench: CaseBench, decisions: CaseDecisions
) -> None:
    secrets = (bench.keys.secret,)
    for name in ("a.png", "b.png"):
        bench.apply(bench.file(name))
    restored, destroyed = bench.locations()
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
    bench: CaseBench, decisions: CaseDecisions
) -> None:
    """The second one has loaded the file's state before the first was carried out."""
    bench.apply(bench.file("a.png"))
    (before,) = bench.locations()
    assert decisions.destroy(before, "destroyed").failure is None
    late = decisions.restore(before, RestoreRequest("restored", (bench.keys.secret,)))
    assert late.failure is not None
    assert late.location.state is LocationState.DESTROYED

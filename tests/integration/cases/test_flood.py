"""The flood guard: a list that goes wrong empties no server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.cases.action_limit import ActionLimiter, LimitApprovals
from hashwacht.cases.file_actions import ActionFailure, FileActions, VaultFileActions
from hashwacht.core.errors import UsageError
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, FileId
from hashwacht.settings import ActionLimitSettings
from hashwacht.storage.action_limits import ApprovalDecision, LimitScope, ReachedLimits
from hashwacht.storage.locations import FileLocation, FileLocations, LocationState
from hashwacht.storage.sqlite.database import Database
from support.casework import HOLD, OBSERVE, UNANSWERED, Office, at


class Idle(VaultFileActions):
    """Hands that do nothing."""

    def __init__(self, _: FileActions) -> None:
        pass

    def quarantine(self, *_: object) -> ActionFailure:
        return ActionFailure("failed")

    def is_staging_path(self, _: bytes) -> bool:
        return False

    def recover(self) -> dict[str, str]:
        return {}


LOGO = b"the logo of a content management system"


def states(office: Office) -> dict[str, int]:
    return {
        str(state): n
        for state, n in office.store.locations.count_by_state(office.case().key).items()
    }


def test_of_a_thousand_equal_files_only_the_limit_is_acted_upon(tmp_path: Path) -> None:
    office = Office(tmp_path).open()
    paths = [office.file(f"{number}.png", LOGO) for number in range(1000)]
    for path in paths:
        office.settle(path)
    assert states(office) == {"quarantined": 25, "waiting": 975}
    assert sum(at(path).exists() for path in paths) == 975
    (flood,) = [notice for notice in office.notices if notice.kind is NoticeKind.FLOOD]
    assert "hashwacht limits approve 1" in flood.summary
    assert "hashwacht limits discard 1" in flood.summary
    assert json.loads(flood.case)["case"] == 1
    assert len(office.notices) < 30, "one more copy is no news"
    assert office.acts().count("limit-reached") == 1
    found = [entry.facts["state"] for entry in office.audit.entries() if entry.act == "found"]
    assert (found.count("pending"), found.count("waiting")) == (25, 975)
    office.casework.retry(office.clock.now + 10**6)
    assert states(office) == {"quarantined": 25, "waiting": 975}, "it waits however long"
    office.close()


@pytest.fixture
def flooded(tmp_path: Path) -> Office:
    """Give an office in which three of five files wait."""
    office = Office(tmp_path, guard=ActionLimitSettings(per_hash=2)).open()
    for number in range(5):
        office.settle(office.file(f"{number}.png"))
    return office


def ruling(office: Office) -> LimitApprovals:
    return LimitApprovals(office.ledger, office.lock)


def test_what_waits_survives_a_restart(flooded: Office) -> None:
    flooded.close()
    office = Office(flooded.home, guard=flooded.guard, keys=flooded.keys).open()
    office.settle(office.file("more.png"))
    assert states(office) == {"quarantined": 2, "waiting": 4}
    assert [notice.kind for notice in office.notices] == [NoticeKind.CASE]


def test_let_go_carries_out_what_waits_and_lifts_the_limit_for_a_window(flooded: Office) -> None:
    assert ruling(flooded).approve(1, "it is real") == 3
    flooded.retry()
    assert states(flooded) == {"quarantined": 5}
    for number in range(4):
        assert flooded.settle(flooded.file(f"new {number}.png")) is Action.QUARANTINE
    flooded.clock.now += flooded.guard.window + 1
    actions = [flooded.settle(flooded.file(f"late {number}.png")) for number in range(3)]
    assert actions == [Action.QUARANTINE, Action.QUARANTINE, Action.OBSERVE]
    assert len(flooded.store.action_limits.load_latest(9, past=True)) == 2
    assert "limit-approved" in flooded.acts()


def test_what_was_observed_and_has_to_wait_now_is_in_the_log(flooded: Office) -> None:
    path = flooded.file("old.png")
    flooded.settle(path, root=OBSERVE)
    for _ in range(2):
        assert flooded.settle(path) is Action.OBSERVE
    assert flooded.acts().count("waiting") == 1
    assert flooded.store.locations.load_live(path)[0].state is LocationState.WAITING


def test_standing_down_drops_what_waits_until_it_is_recalled(flooded: Office) -> None:
    assert ruling(flooded).discard(1, "a logo was listed") == 3
    assert states(flooded) == {"observed": 3, "quarantined": 2}
    flooded.clock.now += 10 * flooded.guard.window
    assert flooded.settle(flooded.file("new.png")) is Action.OBSERVE
    flooded.retry()
    assert states(flooded) == {"observed": 4, "quarantined": 2}
    assert ruling(flooded).reinstate(1, "the list is right") == 4
    flooded.retry()
    assert states(flooded) == {"quarantined": 4, "waiting": 2}


def test_a_ruling_is_made_once(flooded: Office) -> None:
    ruling(flooded).approve(1, "it is real")
    for act in (ruling(flooded).approve, ruling(flooded).discard, ruling(flooded).reinstate):
        with pytest.raises(UsageError):
            act(1, "again")
    with pytest.raises(UsageError):
        ruling(flooded).approve(2, "unknown")


def test_what_nobody_can_say_anything_about_is_held_beyond_any_limit(tmp_path: Path) -> None:
    office = Office(tmp_path, root=HOLD, guard=ActionLimitSettings(per_hash=1, per_root=1)).open()
    for number in range(4):
        path = office.file(f"{number}.png")
        assert office.settle(path, UNANSWERED) is Action.HOLD
    assert office.store.action_limits.load_latest(9) == []


def test_an_account_and_a_root_have_limits_of_their_own(tmp_path: Path) -> None:
    office = Office(tmp_path, guard=ActionLimitSettings(per_account=2, per_root=3)).open()
    for number in range(3):
        office.settle(office.file(f"{number}.png", b"content %d" % number))
    (flood,) = office.store.action_limits.load_latest(9)
    assert flood.subject.scope is LimitScope.ACCOUNT
    ruling(office).approve(1, "a collection")
    office.retry()
    actions = [
        office.settle(office.file(f"new {number}.png", b"other %d" % number)) for number in range(2)
    ]
    assert actions == [Action.QUARANTINE, Action.OBSERVE], "what was let go is not counted"
    assert office.store.action_limits.load_latest(1)[0].subject.scope is LimitScope.ROOT


def test_actions_that_fail_are_not_counted(tmp_path: Path) -> None:
    office = Office(tmp_path, guard=ActionLimitSettings(per_hash=2), wrap=Idle).open()
    for number in range(5):
        office.settle(office.file(f"{number}.png"))
    assert states(office) == {"failed": 5}
    assert office.store.action_limits.load_latest(9) == []


def test_a_held_file_that_waits_to_be_sealed_stays_held(tmp_path: Path) -> None:
    office = Office(tmp_path, guard=ActionLimitSettings(per_hash=2)).open()
    paths = [office.file(f"{number}.png") for number in range(3)]
    for path in paths:
        office.settle(path, UNANSWERED, root=HOLD)
    assert [office.settle(path) for path in paths][2] is Action.HOLD
    office.retry()
    assert states(office) == {"held": 1, "quarantined": 2}
    assert at(paths[2]).stat().st_mode & 0o777 == 0
    ruling(office).approve(1, "it is real")
    office.retry()
    assert states(office) == {"quarantined": 3}


def test_a_held_file_that_waited_to_be_sealed_is_sealed_after_a_recall(tmp_path: Path) -> None:
    office = Office(tmp_path, guard=ActionLimitSettings(per_hash=1, window=60)).open()
    paths = [office.file(f"{number}.png") for number in range(2)]
    for path in paths:
        office.settle(path, UNANSWERED, root=HOLD)
        office.settle(path)
    assert states(office) == {"held": 1, "quarantined": 1}
    ruling(office).discard(1, "a logo was listed")
    office.clock.now += 61
    ruling(office).reinstate(1, "the list is right")
    office.retry()
    assert states(office) == {"quarantined": 2}


@given(
    asked=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from((1, 2)), st.floats(0, 400)), max_size=60
    ),
    limits=st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 9)),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_more_than_the_limits_are_ever_granted_within_the_window(
    tmp_path: Path, asked: list[tuple[str, int, float]], limits: tuple[int, int, int]
) -> None:
    path = tmp_path / "state.db"
    for each in tmp_path.glob("state.*"):
        each.unlink()
    database = Database.open(path)
    places, floods = FileLocations(database), ReachedLimits(database)
    guard = ActionLimiter(places, floods, ActionLimitSettings(100.0, *limits))
    granted: list[tuple[str, int, float]] = []
    now = 1000.0
    for number, (letter, uid, pause) in enumerate(asked):
        now += pause
        place = FileLocation(
            0,
            letter.encode().hex() * 32,
            "www",
            b"/%d" % number,
            FileId(1, 1, 1, 1, 1),
            uid,
            "",
            now,
            Action.HOLD,
            "on_similar_match",
            LocationState.HELD,
        )
        permission = guard.check(place, now)
        if permission.is_allowed:
            places.record(replace(place, counted_at=now))
            granted.append((letter, uid, now))
        elif permission.new and permission.flood is not None:
            floods.record_decision(permission.flood.id, ApprovalDecision.DISCARDED, now, "", "")
            floods.record_decision(permission.flood.id, ApprovalDecision.REINSTATED, now, "", "")
    database.close()
    for letter, uid, moment in granted:
        within = [each for each in granted if moment - 100 < each[2] <= moment]
        assert len(within) <= limits[2]
        assert sum(each[1] == uid for each in within) <= limits[1]
        assert sum(each[0] == letter for each in within) <= limits[0]

"""The action limit: a list that is wrong does not empty a server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.cases.action_limit import ActionLimiter, LimitApprovals
from hashwacht.cases.file_actions import FileActions
from hashwacht.core.errors import UsageError
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, FileId
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.settings import ActionLimitSettings
from hashwacht.storage.action_limits import ApprovalDecision, LimitScope, ReachedLimits
from hashwacht.storage.locations import FileLocation, FileLocations, LocationState
from hashwacht.storage.sqlite.database import Database
from support.cases import HOLD, OBSERVE, UNANSWERED, CaseBench, at


class Idle(FileActions):
    """File actions that always fail."""

    def __init__(self, _: FileActions) -> None:
        pass

    def quarantine(self, *_: object) -> ActionFailure:
        return ActionFailure(FailureReason.BUSY)

    def is_staging_path(self, _: bytes) -> bool:
        return False

    def recover(self) -> dict[str, str]:
        return {}


LOGO = b"the logo of a content management system"


def states(bench: CaseBench) -> dict[str, int]:
    return {
        str(state): n for state, n in bench.store.locations.count_by_state(bench.case().key).items()
    }


def test_only_the_limit_of_a_thousand_equal_files_is_acted_on(tmp_path: Path) -> None:
    bench = CaseBench(tmp_path).open()
    paths = [bench.file(f"{number}.png", LOGO) for number in range(1000)]
    for path in paths:
        bench.apply(path)
    assert states(bench) == {"quarantined": 25, "waiting": 975}
    assert sum(at(path).exists() for path in paths) == 975
    (limit,) = [notice for notice in bench.notices if notice.kind is NoticeKind.FLOOD]
    assert "hashwacht limits approve 1" in limit.summary
    assert "hashwacht limits discard 1" in limit.summary
    assert json.loads(limit.case)["case"] == 1
    assert len(bench.notices) < 30, "one more copy is no news"
    assert bench.events().count("limit-reached") == 1
    found = [entry.facts["state"] for entry in bench.audit.entries() if entry.act == "found"]
    assert (found.count("pending"), found.count("waiting")) == (25, 975)
    bench.processor.retry_due(bench.clock.now + 10**6)
    assert states(bench) == {"quarantined": 25, "waiting": 975}, "it waits however long"
    bench.close()


@pytest.fixture
def limited(tmp_path: Path) -> CaseBench:
    """Give an bench in which three of five files wait."""
    bench = CaseBench(tmp_path, limits=ActionLimitSettings(per_hash=2)).open()
    for number in range(5):
        bench.apply(bench.file(f"{number}.png"))
    return bench


def approvals(bench: CaseBench) -> LimitApprovals:
    return LimitApprovals(bench.ledger, bench.lock)


def test_paused_actions_survive_a_restart(limited: CaseBench) -> None:
    limited.close()
    bench = CaseBench(limited.home, limits=limited.limits, keys=limited.keys).open()
    bench.apply(bench.file("more.png"))
    assert states(bench) == {"quarantined": 2, "waiting": 4}
    assert [notice.kind for notice in bench.notices] == [NoticeKind.CASE]


def test_approve_carries_out_actions_and_suspends_the_limit(limited: CaseBench) -> None:
    assert approvals(limited).approve(1, "it is real") == 3
    limited.retry()
    assert states(limited) == {"quarantined": 5}
    for number in range(4):
        assert limited.apply(limited.file(f"new {number}.png")) is Action.QUARANTINE
    limited.clock.now += limited.limits.window + 1
    actions = [limited.apply(limited.file(f"late {number}.png")) for number in range(3)]
    assert actions == [Action.QUARANTINE, Action.QUARANTINE, Action.OBSERVE]
    assert len(limited.store.action_limits.load_latest(9, past=True)) == 2
    assert "limit-approved" in limited.events()


def test_a_pause_after_observing_is_in_the_audit_log(limited: CaseBench) -> None:
    path = limited.file("old.png")
    limited.apply(path, root=OBSERVE)
    for _ in range(2):
        assert limited.apply(path) is Action.OBSERVE
    assert limited.events().count("waiting") == 1
    assert limited.store.locations.load_live(path)[0].state is LocationState.WAITING


def test_discard_drops_paused_actions_until_reinstated(limited: CaseBench) -> None:
    assert approvals(limited).discard(1, "a logo was listed") == 3
    assert states(limited) == {"observed": 3, "quarantined": 2}
    limited.clock.now += 10 * limited.limits.window
    assert limited.apply(limited.file("new.png")) is Action.OBSERVE
    limited.retry()
    assert states(limited) == {"observed": 4, "quarantined": 2}
    assert approvals(limited).reinstate(1, "the list is right") == 4
    limited.retry()
    assert states(limited) == {"quarantined": 4, "waiting": 2}


def test_a_limit_is_decided_once(limited: CaseBench) -> None:
    approvals(limited).approve(1, "it is real")
    for act in (
        approvals(limited).approve,
        approvals(limited).discard,
        approvals(limited).reinstate,
    ):
        with pytest.raises(UsageError):
            act(1, "again")
    with pytest.raises(UsageError):
        approvals(limited).approve(2, "unknown")


def test_undetermined_files_are_held_beyond_any_limit(tmp_path: Path) -> None:
    bench = CaseBench(
        tmp_path, root=HOLD, limits=ActionLimitSettings(per_hash=1, per_root=1)
    ).open()
    for number in range(4):
        path = bench.file(f"{number}.png")
        assert bench.apply(path, UNANSWERED) is Action.HOLD
    assert bench.store.action_limits.load_latest(9) == []


def test_an_account_and_a_root_have_limits_of_their_own(tmp_path: Path) -> None:
    bench = CaseBench(tmp_path, limits=ActionLimitSettings(per_account=2, per_root=3)).open()
    for number in range(3):
        bench.apply(bench.file(f"{number}.png", b"content %d" % number))
    (limit,) = bench.store.action_limits.load_latest(9)
    assert limit.subject.scope is LimitScope.ACCOUNT
    approvals(bench).approve(1, "a collection")
    bench.retry()
    actions = [
        bench.apply(bench.file(f"new {number}.png", b"other %d" % number)) for number in range(2)
    ]
    assert actions == [Action.QUARANTINE, Action.OBSERVE], "approved actions are not counted"
    assert bench.store.action_limits.load_latest(1)[0].subject.scope is LimitScope.ROOT


def test_actions_that_fail_are_not_counted(tmp_path: Path) -> None:
    bench = CaseBench(tmp_path, limits=ActionLimitSettings(per_hash=2), wrap=Idle).open()
    for number in range(5):
        bench.apply(bench.file(f"{number}.png"))
    assert states(bench) == {"failed": 5}
    assert bench.store.action_limits.load_latest(9) == []


def test_a_held_file_stays_held_while_sealing_is_paused(tmp_path: Path) -> None:
    bench = CaseBench(tmp_path, limits=ActionLimitSettings(per_hash=2)).open()
    paths = [bench.file(f"{number}.png") for number in range(3)]
    for path in paths:
        bench.apply(path, UNANSWERED, root=HOLD)
    assert [bench.apply(path) for path in paths][2] is Action.HOLD
    bench.retry()
    assert states(bench) == {"held": 1, "quarantined": 2}
    assert at(paths[2]).stat().st_mode & 0o777 == 0
    approvals(bench).approve(1, "it is real")
    bench.retry()
    assert states(bench) == {"quarantined": 3}


def test_a_held_file_is_sealed_after_the_limit_is_reinstated(tmp_path: Path) -> None:
    bench = CaseBench(tmp_path, limits=ActionLimitSettings(per_hash=1, window=60)).open()
    paths = [bench.file(f"{number}.png") for number in range(2)]
    for path in paths:
        bench.apply(path, UNANSWERED, root=HOLD)
        bench.apply(path)
    assert states(bench) == {"held": 1, "quarantined": 1}
    approvals(bench).discard(1, "a logo was listed")
    bench.clock.now += 61
    approvals(bench).reinstate(1, "the list is right")
    bench.retry()
    assert states(bench) == {"quarantined": 2}


@given(
    asked=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from((1, 2)), st.floats(0, 400)), max_size=60
    ),
    limits=st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 9)),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_more_actions_than_the_limits_within_a_window(
    tmp_path: Path, asked: list[tuple[str, int, float]], limits: tuple[int, int, int]
) -> None:
    path = tmp_path / "state.db"
    for each in tmp_path.glob("state.*"):
        each.unlink()
    database = Database.open(path)
    locations, reached = FileLocations(database), ReachedLimits(database)
    limiter = ActionLimiter(locations, reached, ActionLimitSettings(100.0, *limits))
    granted: list[tuple[str, int, float]] = []
    now = 1000.0
    for number, (letter, uid, pause) in enumerate(asked):
        now += pause
        location = FileLocation(
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
        permission = limiter.check(location, now)
        if permission.limit is None:
            locations.record(replace(location, counted_at=now))
            granted.append((letter, uid, now))
        elif permission.new and permission.limit is not None:
            reached.record_decision(permission.limit.id, ApprovalDecision.DISCARDED, now, "", "")
            reached.record_decision(permission.limit.id, ApprovalDecision.REINSTATED, now, "", "")
    database.close()
    for letter, uid, moment in granted:
        within = [each for each in granted if moment - 100 < each[2] <= moment]
        assert len(within) <= limits[2]
        assert sum(each[1] == uid for each in within) <= limits[1]
        assert sum(each[0] == letter for each in within) <= limits[0]

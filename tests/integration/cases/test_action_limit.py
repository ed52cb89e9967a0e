"""The action limit: an incorrect list does not empty a server."""

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
from hashwacht.core.types import Action, FileId, Outcome, Verdict
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.settings import ActionLimitSettings
from hashwacht.storage.action_limits import ApprovalDecision, LimitScope, ReachedLimits
from hashwacht.storage.locations import FileLocation, FileLocations, LocationState
from hashwacht.storage.sqlite.database import Database
from support.cases import HOLD, NEAR, OBSERVE, UNANSWERED, CaseHarness, at


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


def states(harness: CaseHarness) -> dict[str, int]:
    return {
        str(state): n
        for state, n in harness.store.locations.count_by_state(harness.case().key).items()
    }


def test_many_accounts_with_one_content_reach_a_limit(tmp_path: Path) -> None:
    harness = CaseHarness(tmp_path).open()
    paths = [harness.file(f"{number}.png", LOGO, uid=5000 + number) for number in range(200)]
    for path in paths:
        harness.apply(path)
    assert states(harness) == {"quarantined": 25, "waiting": 175}
    assert sum(at(path).exists() for path in paths) == 175
    (limit,) = [notice for notice in harness.notices if notice.kind is NoticeKind.FLOOD]
    assert "hashwacht limits approve 1" in limit.summary
    assert "hashwacht limits discard 1" in limit.summary
    assert json.loads(limit.case)["case"] == 1
    assert len(harness.notices) == 201, "each account's first file sends a notice"
    assert harness.events().count("limit-reached") == 1
    logged = [entry.facts["state"] for entry in harness.audit.entries() if entry.act == "found"]
    assert (logged.count("pending"), logged.count("waiting")) == (25, 175)
    harness.processor.retry_due(harness.clock.now + 10**6)
    assert states(harness) == {"quarantined": 25, "waiting": 175}, "it waits without a time limit"
    harness.close()


@pytest.fixture
def limited(tmp_path: Path) -> CaseHarness:
    """Return a server on which three of five files wait for a decision."""
    harness = CaseHarness(tmp_path, limits=ActionLimitSettings(per_hash=2)).open()
    for number in range(5):
        harness.apply(harness.file(f"{number}.png", uid=5000 + number))
    return harness


def test_copies_in_one_account_pause_no_action_for_another(tmp_path: Path) -> None:
    harness = CaseHarness(tmp_path).open()
    actions = [harness.apply(harness.file(f"{number}.png", uid=5000)) for number in range(120)]
    assert actions == [Action.QUARANTINE] * 50 + [Action.HOLD] * 70, "all files are sealed"
    assert harness.apply(harness.file("other.png", uid=5001)) is Action.QUARANTINE
    assert harness.apply(harness.file("another.png", b"another", uid=5002)) is Action.QUARANTINE
    (limit,) = harness.store.action_limits.load_latest(9)
    assert limit.subject.scope is LimitScope.ACCOUNT
    (notice,) = [notice for notice in harness.notices if notice.kind is NoticeKind.FLOOD]
    assert "files are held, not quarantined" in notice.summary
    harness.close()


def test_approving_an_account_seals_its_held_files(tmp_path: Path) -> None:
    harness = CaseHarness(tmp_path, limits=ActionLimitSettings(per_account=1)).open()
    paths = [harness.file(f"{number}.png", uid=5000) for number in range(3)]
    for path in paths:
        harness.apply(path)
    assert states(harness) == {"held": 2, "quarantined": 1}
    assert harness.apply(paths[2]) is Action.HOLD, "a new verdict keeps it held"
    assert approvals(harness).approve(1, "it is real") == 2
    harness.retry()
    assert states(harness) == {"quarantined": 3}
    harness.close()


def test_discarding_an_account_observes_further_files(tmp_path: Path) -> None:
    limits = ActionLimitSettings(per_account=1)
    harness = CaseHarness(tmp_path, limits=limits).open()
    for number in range(2):
        harness.apply(harness.file(f"{number}.png", uid=5000))
    approvals(harness).discard(1, "a logo was listed")
    for root in (None, HOLD):
        path = harness.file("later.png", uid=5000)
        assert harness.apply(path, root=root) is Action.OBSERVE
    assert harness.apply(harness.file("other.png", uid=5001)) is Action.QUARANTINE
    harness.close()


def approvals(harness: CaseHarness) -> LimitApprovals:
    return LimitApprovals(harness.ledger, harness.lock)


def test_paused_actions_survive_a_restart(limited: CaseHarness) -> None:
    limited.close()
    harness = CaseHarness(limited.home, limits=limited.limits, keys=limited.keys).open()
    harness.apply(harness.file("more.png", uid=5004))
    assert states(harness) == {"quarantined": 2, "waiting": 4}
    assert [notice.kind for notice in harness.notices] == [NoticeKind.CASE]


def test_approve_carries_out_actions_and_suspends_the_limit(limited: CaseHarness) -> None:
    assert approvals(limited).approve(1, "it is real") == 3
    limited.retry()
    assert states(limited) == {"quarantined": 5}
    for number in range(4):
        path = limited.file(f"new {number}.png", uid=6000 + number)
        assert limited.apply(path) is Action.QUARANTINE
    limited.clock.now += limited.limits.window + 1
    late = [limited.file(f"late {number}.png", uid=7000 + number) for number in range(3)]
    actions = [limited.apply(path) for path in late]
    assert actions == [Action.QUARANTINE, Action.QUARANTINE, Action.OBSERVE]
    assert len(limited.store.action_limits.load_latest(9, past=True)) == 2
    assert "limit-approved" in limited.events()


def test_a_pause_after_observing_is_in_the_audit_log(limited: CaseHarness) -> None:
    path = limited.file("old.png", uid=6000)
    limited.apply(path, root=OBSERVE)
    for _ in range(2):
        assert limited.apply(path) is Action.OBSERVE
    assert limited.events().count("waiting") == 1
    assert limited.store.locations.load_live(path)[0].state is LocationState.WAITING


def test_discard_drops_paused_actions_until_reinstated(limited: CaseHarness) -> None:
    assert approvals(limited).discard(1, "a logo was listed") == 3
    assert states(limited) == {"observed": 3, "quarantined": 2}
    limited.clock.now += 10 * limited.limits.window
    assert limited.apply(limited.file("new.png")) is Action.OBSERVE
    limited.retry()
    assert states(limited) == {"observed": 4, "quarantined": 2}
    assert approvals(limited).reinstate(1, "the list is right") == 4
    limited.retry()
    assert states(limited) == {"quarantined": 4, "waiting": 2}


def test_a_limit_is_decided_once(limited: CaseHarness) -> None:
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
    harness = CaseHarness(
        tmp_path, root=HOLD, limits=ActionLimitSettings(per_hash=1, per_root=1)
    ).open()
    for number in range(4):
        path = harness.file(f"{number}.png")
        assert harness.apply(path, UNANSWERED) is Action.HOLD
    assert harness.store.action_limits.load_latest(9) == []


def test_an_account_and_a_root_have_limits_of_their_own(tmp_path: Path) -> None:
    harness = CaseHarness(tmp_path, limits=ActionLimitSettings(per_account=2, per_root=3)).open()
    for number in range(3):
        harness.apply(harness.file(f"{number}.png", b"content %d" % number, uid=5000))
    (limit,) = harness.store.action_limits.load_latest(9)
    assert limit.subject.scope is LimitScope.ACCOUNT
    paths = [harness.file(f"{uid}.png", b"other %d" % uid, uid=uid) for uid in range(5001, 5005)]
    expected = [Action.QUARANTINE] * 2 + [Action.OBSERVE] * 2
    assert [harness.apply(path) for path in paths] == expected
    assert harness.store.action_limits.load_latest(1)[0].subject.scope is LimitScope.ROOT


def test_actions_that_fail_are_not_counted(tmp_path: Path) -> None:
    harness = CaseHarness(tmp_path, limits=ActionLimitSettings(per_hash=2), wrap=Idle).open()
    for number in range(5):
        harness.apply(harness.file(f"{number}.png"))
    assert states(harness) == {"failed": 5}
    assert harness.store.action_limits.load_latest(9) == []


def test_a_held_file_stays_held_while_sealing_is_paused(tmp_path: Path) -> None:
    harness = CaseHarness(tmp_path, limits=ActionLimitSettings(per_hash=2)).open()
    paths = [harness.file(f"{number}.png", uid=5000 + number) for number in range(3)]
    for path in paths:
        harness.apply(path, UNANSWERED, root=HOLD)
    assert [harness.apply(path) for path in paths][2] is Action.HOLD
    harness.retry()
    assert states(harness) == {"held": 1, "quarantined": 2}
    assert at(paths[2]).stat().st_mode & 0o777 == 0
    approvals(harness).approve(1, "it is real")
    harness.retry()
    assert states(harness) == {"quarantined": 3}


def test_a_held_file_is_sealed_after_the_limit_is_reinstated(tmp_path: Path) -> None:
    harness = CaseHarness(tmp_path, limits=ActionLimitSettings(per_hash=1, window=60)).open()
    paths = [harness.file(f"{number}.png", uid=5000 + number) for number in range(2)]
    for path in paths:
        harness.apply(path, UNANSWERED, root=HOLD)
        harness.apply(path)
    assert states(harness) == {"held": 1, "quarantined": 1}
    approvals(harness).discard(1, "a logo was listed")
    harness.clock.now += 61
    approvals(harness).reinstate(1, "the list is right")
    harness.retry()
    assert states(harness) == {"quarantined": 2}


ACTS = st.tuples(
    st.sampled_from("abc"),
    st.integers(1, 4),
    st.floats(0, 400),
    st.sampled_from((Action.HOLD, Action.QUARANTINE)),
)


@given(acts=st.lists(ACTS, max_size=80), limits=st.tuples(*[st.integers(1, 3)] * 3))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_limits_count_accounts_and_never_copies(
    tmp_path: Path,
    acts: list[tuple[str, int, float, Action]],
    limits: tuple[int, int, int],
) -> None:
    for file in tmp_path.glob("state.*"):
        file.unlink()
    database = Database.open(tmp_path / "state.db")
    locations, reached = FileLocations(database), ReachedLimits(database)
    limiter = ActionLimiter(locations, reached, ActionLimitSettings(100.0, *limits))
    per_hash, per_account, per_root = limits
    counted: list[tuple[str, int, float, Action]] = []
    now = 1000.0
    for number, (letter, uid, pause, action) in enumerate(acts):
        now += pause
        recent = [act for act in counted if act[2] > now - 100]
        sharing = {act[1] for act in recent if act[0] == letter} - {uid}
        other_accounts = {act[1] for act in recent} - {uid}
        location = location_of(letter, number, uid, action, now)
        permission = limiter.check(location, now)
        if permission.limit is None:
            locations.record(replace(location, counted_at=now))
            counted.append((letter, uid, now, action))
            own_actions = [act for act in counted if act[1] == uid and act[2] > now - 100]
            assert action is Action.HOLD or len(own_actions) <= per_account
            assert len(sharing | {uid}) <= per_hash
            assert len(other_accounts | {uid}) <= per_root
            continue
        if permission.is_hold_only:
            assert action is Action.QUARANTINE
        else:
            assert len(sharing) >= per_hash or len(other_accounts) >= per_root, (
                "files of other accounts remain allowed"
            )
        limit = permission.limit.id
        reached.record_decision(limit, ApprovalDecision.DISCARDED, now, "", "")
        reached.record_decision(limit, ApprovalDecision.REINSTATED, now, "", "")
    database.close()


def location_of(letter: str, number: int, uid: int, action: Action, now: float) -> FileLocation:
    key, file = letter.encode().hex() * 32, FileId(1, 1, 1, 1, 1)
    path, state = b"/%d" % number, LocationState.HELD
    return FileLocation(0, key, "www", path, file, uid, "", now, action, "on_exact_match", state)


NEW = "hashlist/police"


def known_to(*lists: str) -> Verdict:
    """Return a match in each of these lists, MATCHER/LIST."""
    (first,) = NEAR.matches
    names = [name.split("/") for name in lists]
    return Verdict(
        Outcome.MATCH, tuple(replace(first, matcher=matcher, list=name) for matcher, name in names)
    )


def apply_of_accounts(harness: CaseHarness, number: int, verdict: Verdict) -> list[Action]:
    """Apply a verdict to one file of its own content in each of so many new accounts."""
    actions = []
    for _ in range(number):
        uid = 7000 + len(harness.store.locations.load_all())
        path = harness.file(f"{uid}.png", f"content of {uid}".encode(), uid=uid)
        actions.append(harness.apply(path, verdict))
    return actions


@pytest.fixture
def with_new_list(tmp_path: Path) -> CaseHarness:
    """Return a server whose list police is an hour old, and whose list old is a year old."""
    harness = CaseHarness(tmp_path, limits=ActionLimitSettings(per_new_list=3, window=60))
    now = harness.clock.now
    harness.imported_at = {NEW: now - 3600, "hashlist/old": now - 365 * 86400}
    return harness.open()


def test_a_new_list_that_matches_many_accounts_is_paused(with_new_list: CaseHarness) -> None:
    harness = with_new_list
    actions = apply_of_accounts(harness, 5, known_to(NEW))
    assert actions == [Action.HOLD] * 3 + [Action.OBSERVE] * 2
    (limit,) = harness.store.action_limits.load_latest(9)
    assert (limit.subject.scope, limit.subject.value) == (LimitScope.LIST, NEW)
    (notice,) = [notice for notice in harness.notices if notice.kind is NoticeKind.FLOOD]
    assert "only the new list hashlist/police knows" in notice.summary
    assert "since its import" in notice.summary
    harness.clock.now += 3000  # longer than the window: a new list is counted since its import
    assert apply_of_accounts(harness, 1, known_to(NEW)) == [Action.OBSERVE]


def test_what_an_older_list_knows_as_well_is_acted_on(with_new_list: CaseHarness) -> None:
    actions = apply_of_accounts(with_new_list, 5, known_to(NEW, "hashlist/old"))
    assert actions == [Action.HOLD] * 5
    assert apply_of_accounts(with_new_list, 3, known_to(NEW)) == [Action.HOLD] * 3


def test_an_approval_holds_for_that_version(with_new_list: CaseHarness) -> None:
    harness = with_new_list
    apply_of_accounts(harness, 4, known_to(NEW))
    approvals(harness).approve(1, "checked")
    harness.processor.retry_due(harness.clock.now + 1)
    assert apply_of_accounts(harness, 5, known_to(NEW)) == [Action.HOLD] * 5
    harness.clock.now += 7200
    harness.imported_at[NEW] = harness.clock.now - 1
    assert apply_of_accounts(harness, 4, known_to(NEW))[-1] is Action.OBSERVE


def test_a_list_is_no_longer_new_after_its_first_hours(with_new_list: CaseHarness) -> None:
    with_new_list.clock.now += 6 * 3600
    assert apply_of_accounts(with_new_list, 5, known_to(NEW)) == [Action.HOLD] * 5

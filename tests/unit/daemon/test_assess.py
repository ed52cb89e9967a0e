"""The assessment: every kind of problem, its severity, and the advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.audit.log import Checkpoint
from hashwacht.core.watch_events import Cause, Lane
from hashwacht.daemon.scanner.runtime import MatcherHealth
from hashwacht.daemon.status.assess import (
    LATE_AFTER,
    HealthProblem,
    Protection,
    StorageStatus,
    assess,
)
from hashwacht.daemon.status.health import (
    STALE_AFTER,
    Health,
    RootHealth,
    Stage,
)
from hashwacht.storage.action_limits import ApprovalDecision, LimitScope, LimitSubject, ReachedLimit
from hashwacht.storage.gaps import Gap
from hashwacht.storage.locations import LocationState
from hashwacht.storage.outbox import ChannelStatus
from hashwacht.storage.reports import Backlog

NOW = 1_000_000.0
ROOTS = ("web",)

GOOD = Health(
    pid=1,
    version="1.0",
    started=NOW - 100,
    stage=Stage.WATCHING,
    at=NOW - 1,
    roots=(RootHealth("web", b"/srv/web", "inotify"),),
    matchers=(MatcherHealth("eokm", NOW), MatcherHealth("list", NOW)),
)
IDLE = StorageStatus(
    queue={lane: Backlog(0, None) for lane in Lane},
    unanswered=Backlog(0, None),
    undetermined=Backlog(3, 1.0),
    gaps=(),
    watched_until={},
    last_rescans={},
    cases={},
    case_files={},
    reached_limits=(),
    alerts=(),
    audit=Checkpoint(0, ""),
)
DELIVERED = ChannelStatus("mail", 0, None, 0, "", None, 0, 0)


def gap(cause: Cause, *, ended: float | None = NOW, root: str = "web") -> Gap:
    return Gap(1, root, b"", cause, "", NOW - 60, ended, None, 0)


def test_without_problems_the_machine_is_protected() -> None:
    assert assess(ROOTS, GOOD, IDLE, NOW) == []
    assert Protection.from_problems([]) is Protection.PROTECTED


@pytest.mark.parametrize(
    ("roots", "health", "detail"),
    [
        ((), replace(GOOD, roots=()), "no root is configured"),
        (ROOTS, None, "not running"),
        (ROOTS, replace(GOOD, stage=Stage.STOPPED), "stopped 1 s ago"),
        (ROOTS, replace(GOOD, stage=Stage.STARTING), "no root is watched yet"),
        (ROOTS, replace(GOOD, at=NOW - STALE_AFTER - 1), "last heartbeat 16 s ago"),
        (("web", "new"), GOOD, "not known to the running daemon"),
        (
            ROOTS,
            replace(GOOD, roots=(RootHealth("web", b"/srv", "inotify", "it is not there"),)),
            "not watched: it is not there",
        ),
        (
            ROOTS,
            replace(GOOD, matchers=tuple(replace(m, problem="down") for m in GOOD.matchers)),
            "down",
        ),
        (ROOTS, replace(GOOD, matchers=()), "no matcher is configured"),
    ],
)
def test_without_watch_or_matchers_it_is_not_protected(
    roots: tuple[str, ...], health: Health | None, detail: str
) -> None:
    problems = assess(roots, health, IDLE, NOW)
    assert Protection.from_problems(problems) is Protection.NOT_PROTECTED
    assert any(detail in problem.detail for problem in problems if problem.critical)


@pytest.mark.parametrize(
    ("health", "changes", "detail"),
    [
        (
            GOOD,
            {"gaps": (gap(Cause.OVERFLOW),)},
            "files may have been missed 60 s ago (overflow)",
        ),
        (
            GOOD,
            {"gaps": (gap(Cause.UNMOUNTED, ended=None),)},
            "not reliably watched, the gap began 60 s ago (unmounted)",
        ),
        (GOOD, {"gaps": (gap(Cause.STARTED), gap(Cause.OVERFLOW))}, "and 1 more"),
        (
            GOOD,
            {
                "queue": {
                    Lane.UPLOAD: Backlog(7, NOW - LATE_AFTER - 1),
                    Lane.RECONCILE: Backlog(0, None),
                }
            },
            "7 waiting, the oldest arrived 5 min ago",
        ),
        (GOOD, {"case_files": {LocationState.FAILED: 2}}, "2 failed"),
        (
            GOOD,
            {
                "reached_limits": (
                    ReachedLimit(4, LimitSubject(LimitScope.ROOT, "web", ""), 100, 1.0),
                )
            },
            "actions are paused by limit 4 (root web)",
        ),
        (
            GOOD,
            {
                "reached_limits": (
                    ReachedLimit(
                        4,
                        LimitSubject(LimitScope.HASH, "", "ab"),
                        9,
                        1.0,
                        ApprovalDecision.DISCARDED,
                    ),
                )
            },
            "actions are discarded by limit 4 (hash)",
        ),
        (
            GOOD,
            {"alerts": (replace(DELIVERED, waiting=3, failures=2, problem="refused"),)},
            "3 not delivered: refused",
        ),
        (
            GOOD,
            {"alerts": (replace(DELIVERED, given_up=1, left_out=2),)},
            "3 of the last 30 days",
        ),
        (
            replace(GOOD, matchers=(MatcherHealth("eokm", None, NOW, "down"), GOOD.matchers[1])),
            {},
            "down",
        ),
    ],
)
def test_what_is_late_or_rescanned_is_degraded(
    health: Health, changes: Mapping[str, object], detail: str
) -> None:
    problems = assess(ROOTS, health, replace(IDLE, **changes), NOW)  # type: ignore[arg-type]  # by name
    assert Protection.from_problems(problems) is Protection.DEGRADED
    (problem,) = problems
    assert detail in problem.detail
    assert problem.advice.endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {"gaps": (gap(Cause.PERIODIC),)},
        {"queue": {Lane.UPLOAD: Backlog(7, NOW - LATE_AFTER), Lane.RECONCILE: Backlog(9, 0.0)}},
        {"alerts": (replace(DELIVERED, waiting=3),)},
        {"case_files": {LocationState.WAITING: 1, LocationState.QUARANTINED: 2}},
        {"unanswered": Backlog(5, 1.0)},
    ],
)
def test_normal_operation_is_no_problem(changes: Mapping[str, object]) -> None:
    assert assess(ROOTS, GOOD, replace(IDLE, **changes), NOW) == []  # type: ignore[arg-type]  # by name


def test_a_dead_scanner_hides_its_health_but_not_the_storage() -> None:
    dead = replace(GOOD, at=0.0, matchers=())
    problems = assess(ROOTS, dead, replace(IDLE, case_files={LocationState.FAILED: 2}), NOW)
    assert [problem.subject for problem in problems] == ["scanner", "actions"]


@given(st.lists(st.builds(HealthProblem, st.text(), st.text(), st.text(), st.booleans())))
def test_one_critical_problem_is_enough(problems: list[HealthProblem]) -> None:
    critical = any(problem.critical for problem in problems)
    protection = Protection.from_problems(problems)
    assert (protection is Protection.NOT_PROTECTED) is critical
    assert (protection is Protection.PROTECTED) is (not problems)

"""Protected or not: the conclusion, from every way in which something can be wrong."""

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
    LATE,
    HealthProblem,
    Protection,
    StorageStatus,
    assess,
    protection,
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

WELL = Health(
    pid=1,
    version="1.0",
    started=NOW - 100,
    stage=Stage.WATCHING,
    at=NOW - 1,
    roots=(RootHealth("web", b"/srv/web", "inotify"),),
    matchers=(MatcherHealth("eokm", NOW), MatcherHealth("list", NOW)),
)
CALM = StorageStatus(
    lanes={lane: Backlog(0, None) for lane in Lane},
    unanswered=Backlog(0, None),
    undetermined=Backlog(3, 1.0),
    gaps=(),
    watched={},
    walked={},
    cases={},
    places={},
    floods=(),
    alerts=(),
    audit=Checkpoint(0, ""),
)
DELIVERED = ChannelStatus("mail", 0, None, 0, "", None, 0, 0)


def gap(cause: Cause, *, ended: float | None = NOW, root: str = "web") -> Gap:
    return Gap(1, root, b"", cause, "", NOW - 60, ended, None, 0)


def test_when_all_is_well_it_is_protected() -> None:
    assert assess(ROOTS, WELL, CALM, NOW) == []
    assert protection([]) is Protection.PROTECTED


@pytest.mark.parametrize(
    ("roots", "health", "told"),
    [
        ((), replace(WELL, roots=()), "no root is configured"),
        (ROOTS, None, "not running"),
        (ROOTS, replace(WELL, stage=Stage.STOPPED), "was stopped 1 s ago"),
        (ROOTS, replace(WELL, stage=Stage.STARTING), "watches nothing yet"),
        (ROOTS, replace(WELL, at=NOW - STALE_AFTER - 1), "no sign of life for 16 s"),
        (("web", "new"), WELL, "does not know it"),
        (
            ROOTS,
            replace(WELL, roots=(RootHealth("web", b"/srv", "inotify", "it is not there"),)),
            "not watched: it is not there",
        ),
        (
            ROOTS,
            replace(WELL, matchers=tuple(replace(m, problem="down") for m in WELL.matchers)),
            "down",
        ),
        (ROOTS, replace(WELL, matchers=()), "nobody is asked"),
    ],
)
def test_without_eyes_or_answers_it_is_not_protected(
    roots: tuple[str, ...], health: Health | None, told: str
) -> None:
    found = assess(roots, health, CALM, NOW)
    assert protection(found) is Protection.NOT_PROTECTED
    assert any(told in remark.detail for remark in found if remark.critical)


@pytest.mark.parametrize(
    ("health", "changes", "told"),
    [
        (WELL, {"gaps": (gap(Cause.OVERFLOW),)}, "missed from 60 s ago (overflow)"),
        (WELL, {"gaps": (gap(Cause.UNMOUNTED, ended=None),)}, "missed since 60 s ago (unmounted)"),
        (WELL, {"gaps": (gap(Cause.STARTED), gap(Cause.OVERFLOW))}, "and 1 more"),
        (
            WELL,
            {"lanes": {Lane.UPLOAD: Backlog(7, NOW - LATE - 1), Lane.RECONCILE: Backlog(0, None)}},
            "7 wait, the oldest since 5 min ago",
        ),
        (WELL, {"places": {LocationState.FAILED: 2}}, "2 failed"),
        (
            WELL,
            {"floods": (ReachedLimit(4, LimitSubject(LimitScope.ROOT, "web", ""), 100, 1.0),)},
            "holds actions",
        ),
        (
            WELL,
            {
                "floods": (
                    ReachedLimit(
                        4,
                        LimitSubject(LimitScope.HASH, "", "ab"),
                        9,
                        1.0,
                        ApprovalDecision.DISCARDED,
                    ),
                )
            },
            "stands down for one hash, number 4",
        ),
        (
            WELL,
            {"alerts": (replace(DELIVERED, waiting=3, failures=2, problem="refused"),)},
            "3 wait: refused",
        ),
        (WELL, {"alerts": (replace(DELIVERED, given_up=1, left_out=2),)}, "3 of the last 30 days"),
        (
            replace(WELL, matchers=(MatcherHealth("eokm", None, NOW, "down"), WELL.matchers[1])),
            {},
            "down",
        ),
    ],
)
def test_what_is_late_or_being_made_up_for_is_degraded(
    health: Health, changes: Mapping[str, object], told: str
) -> None:
    found = assess(ROOTS, health, replace(CALM, **changes), NOW)  # type: ignore[arg-type]  # by name
    assert protection(found) is Protection.DEGRADED
    (remark,) = found
    assert told in remark.detail
    assert remark.advice.endswith(".")


@pytest.mark.parametrize(
    "changes",
    [
        {"gaps": (gap(Cause.PERIODIC),)},
        {"lanes": {Lane.UPLOAD: Backlog(7, NOW - LATE), Lane.RECONCILE: Backlog(9, 0.0)}},
        {"alerts": (replace(DELIVERED, waiting=3),)},
        {"places": {LocationState.WAITING: 1, LocationState.QUARANTINED: 2}},
        {"unanswered": Backlog(5, 1.0)},
    ],
)
def test_what_is_usual_is_not_remarked_upon(changes: Mapping[str, object]) -> None:
    assert assess(ROOTS, WELL, replace(CALM, **changes), NOW) == []  # type: ignore[arg-type]  # by name


def test_a_dead_scanner_hides_what_it_last_said_but_not_what_the_state_knows() -> None:
    dead = replace(WELL, at=0.0, matchers=())
    found = assess(ROOTS, dead, replace(CALM, places={LocationState.FAILED: 2}), NOW)
    assert [remark.subject for remark in found] == ["scanner", "actions"]


@given(st.lists(st.builds(HealthProblem, st.text(), st.text(), st.text(), st.booleans())))
def test_one_grave_remark_is_enough(told: list[HealthProblem]) -> None:
    grave = any(remark.critical for remark in told)
    assert (protection(told) is Protection.NOT_PROTECTED) is grave
    assert (protection(told) is Protection.PROTECTED) is (not told)

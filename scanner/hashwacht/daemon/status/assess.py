"""Assess the protection of this machine: what is wrong, how badly, and what to do about it.

*Not protected*: a new file may go unseen or unchecked.  *Degraded*: files are seen and checked,
but something is late, a gap is being rescanned, or alerts do not arrive.  The storage can be read
whether the daemon runs or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hashwacht.audit.log import AuditLog, Checkpoint
from hashwacht.core.text import format_age
from hashwacht.core.watch_events import Cause, Lane
from hashwacht.daemon.status.health import Health, Stage
from hashwacht.matching.hashlists.update_state import ListAge
from hashwacht.storage.action_limits import ApprovalDecision, LimitScope, ReachedLimit
from hashwacht.storage.cases import CaseState
from hashwacht.storage.gaps import Gap
from hashwacht.storage.locations import LocationState
from hashwacht.storage.outbox import ChannelStatus
from hashwacht.storage.reports import Backlog
from hashwacht.storage.store import Store

LATE_AFTER = 300.0
"""Seconds that an upload may wait for its check before the daemon counts as degraded."""


class Protection(StrEnum):
    """Whether this machine is protected."""

    PROTECTED = "protected"
    DEGRADED = "degraded"
    NOT_PROTECTED = "not-protected"

    @classmethod
    def from_problems(cls, problems: Sequence[HealthProblem]) -> Protection:
        """Return the protection that is left with these problems."""
        if any(problem.critical for problem in problems):
            return cls.NOT_PROTECTED
        return cls.DEGRADED if problems else cls.PROTECTED


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """Something that is wrong; while a *critical* problem lasts, the machine is not protected."""

    subject: str
    detail: str
    advice: str
    critical: bool = False


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """Figures of one moment.  Times are Unix seconds, None where there is nothing.

    *queue*: files waiting for their check.  *unanswered*: contents waiting for a matcher;
    *undetermined*: all contents whose verdict is undetermined.  *watched_until* and
    *last_rescans* map a root to when it was last known to be watched, and last fully rescanned.
    """

    queue: Mapping[Lane, Backlog]
    unanswered: Backlog
    undetermined: Backlog
    gaps: tuple[Gap, ...]
    watched_until: Mapping[str, float]
    last_rescans: Mapping[str, float | None]
    cases: Mapping[CaseState, int]
    case_files: Mapping[LocationState, int]
    reached_limits: tuple[ReachedLimit, ...]
    alerts: tuple[ChannelStatus, ...]
    audit: Checkpoint


def read_storage_status(
    store: Store, audit: AuditLog, roots: Sequence[str], channels: Sequence[str]
) -> StorageStatus:
    """Read the figures of the configured roots and channels.  Raises StorageError."""
    depth, oldest = store.journal.count(), store.journal.load_oldest()
    return StorageStatus(
        queue={lane: Backlog(depth[lane], oldest[lane]) for lane in Lane},
        unanswered=store.reports.count_pending(),
        undetermined=store.reports.count_undetermined(),
        gaps=tuple(store.gaps.load_open()),
        watched_until={name: beat.at for name, beat in store.gaps.load_heartbeats().items()},
        last_rescans={name: store.gaps.load_last_walk(name) for name in roots},
        cases=store.cases.count_by_state(),
        case_files=store.reports.count_locations(),
        reached_limits=tuple(store.action_limits.load_latest(100)),
        alerts=tuple(store.outbox.channel_status(channel) for channel in channels),
        audit=audit.head(),
    )


def assess(
    roots: Sequence[str], health: Health | None, storage: StorageStatus | None, now: float
) -> list[HealthProblem]:
    """Return the problems, critical ones first.

    *roots* are the configured ones; *storage* is None if it could not be read, which the caller
    reports.  *now* is Unix time.
    """
    problems = [*_scanner_problems(roots, health, now)]
    if health is not None and not problems:
        problems += [*_root_problems(roots, health), *_matcher_problems(health)]
    if storage is not None:
        problems += [
            *_gap_problems(storage.gaps, now),
            *_queue_problems(storage, now),
            *_action_problems(storage),
            *_alert_problems(storage),
        ]
    return sorted(problems, key=lambda problem: not problem.critical)


def _scanner_problems(
    roots: Sequence[str], health: Health | None, now: float
) -> Iterator[HealthProblem]:
    start = "Start it with `systemctl start hashwacht.target`, or run `hashwacht daemon`."
    if not roots:
        advice = "Configure a directory in a table [roots.NAME]."
        yield HealthProblem("roots", "no root is configured", advice, critical=True)
    if health is None:
        detail, advice = "not running", start
    elif health.stage is Stage.STOPPED:
        detail, advice = f"stopped {format_age(health.at, now)}", start
    elif health.is_gone:
        detail = f"its process {health.pid} has died, last heartbeat {format_age(health.at, now)}"
        advice = "See `journalctl -u hashwacht-scanner`; systemd restarts the scanner."
    elif health.is_stale(now):
        detail = f"last heartbeat {format_age(health.at, now)}"
        advice = "See `journalctl -u hashwacht-scanner`; systemd restarts the scanner."
    elif health.stage is Stage.STARTING:
        detail = "starting, no root is watched yet"
        advice = "Wait; with many directories the start takes minutes."
    else:
        return
    yield HealthProblem("scanner", detail, advice, critical=True)


def _root_problems(roots: Sequence[str], health: Health) -> Iterator[HealthProblem]:
    known = {root.name: root for root in health.roots}
    for name in roots:
        if (root := known.get(name)) is None:
            detail = "not known to the running daemon"
            advice = "Reload its configuration: `systemctl reload hashwacht-scanner`."
        elif root.problem:
            detail = f"not watched: {root.problem}"
            advice = "Fix the cause; the daemon retries automatically and rescans the root."
        else:
            continue
        yield HealthProblem(f"root {name}", detail, advice, critical=True)


def _matcher_problems(health: Health) -> Iterator[HealthProblem]:
    failing = [matcher for matcher in health.matchers if matcher.problem]
    none_answers = len(failing) == len(health.matchers)
    for matcher in failing:
        advice = "Run `hashwacht doctor`. Undetermined files are checked again automatically."
        yield HealthProblem(
            f"matcher {matcher.name}", matcher.problem, advice, critical=none_answers
        )
    if not health.matchers:
        advice = "Configure one in a table [matchers.NAME]."
        yield HealthProblem("matchers", "no matcher is configured", advice, critical=True)


def _gap_problems(gaps: Sequence[Gap], now: float) -> Iterator[HealthProblem]:
    """Yield each root's oldest gap, and how many more there are; a periodic rescan is no gap."""
    relevant = [gap for gap in gaps if gap.cause is not Cause.PERIODIC]
    advice = "A rescan closes the gap automatically, once its cause has ended."
    for root in dict.fromkeys(gap.root for gap in relevant):
        gap, *others = [gap for gap in relevant if gap.root == root]
        cause = f"{gap.cause}: {gap.detail}" if gap.detail else gap.cause.value
        age = format_age(gap.began, now)
        missed = f"files may have been missed {age}"
        text = missed if gap.ended is not None else f"not reliably watched, the gap began {age}"
        detail = f"{text} ({cause})" + (f", and {len(others)} more" if others else "")
        yield HealthProblem(f"root {root}", detail, advice)


def _queue_problems(storage: StorageStatus, now: float) -> Iterator[HealthProblem]:
    uploads = storage.queue[Lane.UPLOAD]
    if uploads.oldest is not None and now - uploads.oldest > LATE_AFTER:
        detail = f"{uploads.number} waiting, the oldest arrived {format_age(uploads.oldest, now)}"
        advice = "If this persists, give the scanner more CPU time (CPUWeight=) or cores."
        yield HealthProblem("uploads", detail, advice)


def _action_problems(storage: StorageStatus) -> Iterator[HealthProblem]:
    for limit in storage.reached_limits:
        scope = f"{limit.subject.scope} {limit.subject.root}".rstrip()
        effect = "paused" if limit.decision is ApprovalDecision.OPEN else "discarded"
        actions = "quarantine is" if limit.subject.scope is LimitScope.ACCOUNT else "actions are"
        advice = "See `hashwacht limits list`, then approve or discard them."
        detail = f"{actions} {effect} by limit {limit.id} ({scope})"
        yield HealthProblem("action limit", detail, advice)
    if failed := storage.case_files.get(LocationState.FAILED, 0):
        advice = "See `hashwacht cases list`; they are retried automatically."
        yield HealthProblem("actions", f"{failed} failed", advice)


def list_problems(ages: Iterable[ListAge], now: float) -> Iterator[HealthProblem]:
    """Yield a problem for each stale list."""
    for age in ages:
        if reason := age.stale_reason(now):
            advice = f"Run `hashwacht lists update {age.name}`; see [lists.{age.name}]."
            yield HealthProblem(f"list {age.name}", f"stale: {reason}", advice)


def _alert_problems(storage: StorageStatus) -> Iterator[HealthProblem]:
    for channel in storage.alerts:
        subject = f"alerts by {channel.channel}"
        advice = f"Run `hashwacht alerts test`, and check [alerts.{channel.channel}]."
        if channel.failures:
            detail = f"{channel.waiting} not delivered: {channel.problem}"
            yield HealthProblem(subject, detail, advice)
        elif lost := channel.given_up + channel.left_out:
            detail = f"{lost} of the last 30 days were lost"
            yield HealthProblem(subject, detail, advice)

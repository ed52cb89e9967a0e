"""Is this machine protected?  Pure: from what is known, what is wrong and how badly.

*Not protected*: a file that comes in now may stay unseen or unasked.  *Degraded*: it is seen and
asked, but something is late, was missed and is being made up for, or nobody is told.

What the state knows of how things stand: readable whether the daemon lives or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hashwacht.audit.log import AuditLog, Checkpoint
from hashwacht.core.text import format_age
from hashwacht.core.watch_events import Cause, Lane
from hashwacht.daemon.status.health import Health, Stage
from hashwacht.storage.action_limits import ApprovalDecision, ReachedLimit
from hashwacht.storage.cases import CaseState
from hashwacht.storage.gaps import Gap
from hashwacht.storage.locations import LocationState
from hashwacht.storage.outbox import ChannelStatus
from hashwacht.storage.reports import Backlog
from hashwacht.storage.store import Store

MOST_FLOODS = 100


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """Figures of one moment.  Times are Unix seconds, None where there is nothing.

    *lanes*: what waits to be looked at.  *unanswered*: contents that wait for a matcher,
    *undetermined*: all contents of which nobody can say anything.  *watched* and *walked* say of
    each root when it was last known to be watched, and last wholly compared with the state.
    """

    lanes: Mapping[Lane, Backlog]
    unanswered: Backlog
    undetermined: Backlog
    gaps: tuple[Gap, ...]
    watched: Mapping[str, float]
    walked: Mapping[str, float | None]
    cases: Mapping[CaseState, int]
    places: Mapping[LocationState, int]
    floods: tuple[ReachedLimit, ...]
    alerts: tuple[ChannelStatus, ...]
    audit: Checkpoint


def read_storage_status(
    store: Store, audit: AuditLog, roots: Sequence[str], channels: Sequence[str]
) -> StorageStatus:
    """Read how things stand for the configured roots and channels.  Raises StorageError."""
    depth, oldest = store.journal.count(), store.journal.load_oldest()
    return StorageStatus(
        lanes={lane: Backlog(depth[lane], oldest[lane]) for lane in Lane},
        unanswered=store.reports.count_pending(),
        undetermined=store.reports.count_undetermined(),
        gaps=tuple(store.gaps.load_open()),
        watched={name: each.at for name, each in store.gaps.load_heartbeats().items()},
        walked={name: store.gaps.load_last_walk(name) for name in roots},
        cases=store.cases.count_by_state(),
        places=store.reports.count_locations(),
        floods=tuple(store.action_limits.load_latest(MOST_FLOODS)),
        alerts=tuple(store.outbox.channel_status(channel) for channel in channels),
        audit=audit.head(),
    )


LATE = 300.0
"""Seconds that an upload may wait to be looked at before it is called late."""


class Protection(StrEnum):
    """How this machine is protected."""

    PROTECTED = "protected"
    DEGRADED = "degraded"
    NOT_PROTECTED = "not-protected"


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """Something that is not as it should be; *grave*: while it is so, nobody is protected."""

    subject: str
    detail: str
    advice: str
    critical: bool = False


def protection(problems: Sequence[HealthProblem]) -> Protection:
    """Draw the conclusion."""
    if any(remark.critical for remark in problems):
        return Protection.NOT_PROTECTED
    return Protection.DEGRADED if problems else Protection.PROTECTED


def assess(
    roots: Sequence[str], health: Health | None, found: StorageStatus | None, now: float
) -> list[HealthProblem]:
    """Say what is wrong, the gravest first.

    *roots* are the configured ones; *found* is None if the state could not be read, which is a
    remark of whoever tried.  *now* is Unix time.
    """
    told = [*_scanner(roots, health, now)]
    if health is not None and not told:
        told += [*_watching(roots, health), *_matchers(health)]
    if found is not None:
        told += [*_gaps(found.gaps, now), *_delays(found, now), *_actions(found), *_alerts(found)]
    return sorted(told, key=lambda remark: not remark.critical)


def _scanner(roots: Sequence[str], health: Health | None, now: float) -> Iterator[HealthProblem]:
    start = "Start it: `systemctl start hashwacht.target`, or `hashwacht daemon`."
    if not roots:
        advice = "Name a directory in a table [roots.NAME] of the configuration."
        yield HealthProblem("roots", "no root is configured", advice, critical=True)
    if health is None:
        yield HealthProblem("scanner", "it is not running", start, critical=True)
    elif health.stage is Stage.STOPPED:
        yield HealthProblem(
            "scanner", f"it was stopped {format_age(health.at, now)}", start, critical=True
        )
    elif health.is_stale(now):
        detail = f"no sign of life for {format_age(health.at, now).removesuffix(' ago')}"
        advice = "See `journalctl -u hashwacht-scanner`; the service manager restarts it."
        yield HealthProblem("scanner", detail, advice, critical=True)
    elif health.stage is Stage.STARTING:
        advice = "Wait; it takes longest with many directories."
        yield HealthProblem(
            "scanner", "it is starting and watches nothing yet", advice, critical=True
        )


def _watching(roots: Sequence[str], health: Health) -> Iterator[HealthProblem]:
    known = {root.name: root for root in health.roots}
    for name in roots:
        root = known.get(name)
        if root is None:
            advice = "Let the daemon read its configuration: `systemctl reload hashwacht-scanner`."
            yield HealthProblem(
                f"root {name}", "the running daemon does not know it", advice, critical=True
            )
        elif root.problem:
            advice = "Put it right; the daemon looks again by itself and makes up for the gap."
            yield HealthProblem(
                f"root {name}", f"not watched: {root.problem}", advice, critical=True
            )


def _matchers(health: Health) -> Iterator[HealthProblem]:
    failing = [matcher for matcher in health.matchers if matcher.problem]
    nobody = len(failing) == len(health.matchers)
    for matcher in failing:
        advice = "Run `hashwacht doctor`. What is undetermined meanwhile is asked again by itself."
        yield HealthProblem(f"matcher {matcher.name}", matcher.problem, advice, critical=nobody)
    if not health.matchers:
        advice = "Configure one in a table [matchers.NAME]."
        yield HealthProblem("matchers", "nobody is asked", advice, critical=True)


def _gaps(gaps: Sequence[Gap], now: float) -> Iterator[HealthProblem]:
    """Tell of each root's oldest gap, and how many; a comparison that is merely due is none."""
    missed = [gap for gap in gaps if gap.cause is not Cause.PERIODIC]
    advice = "A walk makes up for it by itself, unless the cause lasts; `hashwacht status` tells."
    for root in dict.fromkeys(gap.root for gap in missed):
        gap, *others = [gap for gap in missed if gap.root == root]
        reason = f"{gap.cause}: {gap.detail}" if gap.detail else gap.cause.value
        lasting = "since" if gap.ended is None else "from"
        more = f", and {len(others)} more" if others else ""
        age = format_age(gap.began, now)
        detail = f"something may have been missed {lasting} {age} ({reason}){more}"
        yield HealthProblem(f"root {root}", detail, advice)


def _delays(found: StorageStatus, now: float) -> Iterator[HealthProblem]:
    uploads = found.lanes[Lane.UPLOAD]
    if uploads.oldest is not None and now - uploads.oldest > LATE:
        detail = f"{uploads.number} wait, the oldest since {format_age(uploads.oldest, now)}"
        advice = "If this lasts, give the scanner more processor time (CPUWeight=) or cores."
        yield HealthProblem("uploads", detail, advice)


def _actions(found: StorageStatus) -> Iterator[HealthProblem]:
    for flood in found.floods:
        subject = f"{flood.subject.scope} {flood.subject.root}".rstrip()
        held = "holds actions" if flood.decision is ApprovalDecision.OPEN else "stands down"
        advice = "Look at `hashwacht limits list`, then approve or discard them."
        yield HealthProblem("flood guard", f"{held} for one {subject}, number {flood.id}", advice)
    if failed := found.places.get(LocationState.FAILED, 0):
        advice = "See `hashwacht cases list`; they are tried again by themselves."
        yield HealthProblem("actions", f"{failed} failed", advice)


def _alerts(found: StorageStatus) -> Iterator[HealthProblem]:
    for channel in found.alerts:
        advice = f"Run `hashwacht alerts test`, and look at [alerts.{channel.channel}]."
        if channel.failures:
            detail = f"{channel.waiting} wait: {channel.problem}"
            yield HealthProblem(f"alerts by {channel.channel}", detail, advice)
        elif lost := channel.given_up + channel.left_out:
            detail = f"{lost} of the last 30 days reached nobody"
            yield HealthProblem(f"alerts by {channel.channel}", detail, advice)

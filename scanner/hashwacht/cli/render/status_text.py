"""The text of ``hashwacht status``: one screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hashwacht import __version__
from hashwacht.core.gateway_report import FrontReport
from hashwacht.core.paths import escape_path
from hashwacht.core.text import (
    count,
    escape_text,
    format_age,
    format_duration,
    format_size,
    format_time,
    plural,
)
from hashwacht.daemon.scanner.runtime import MatcherHealth
from hashwacht.daemon.status.assess import StorageStatus
from hashwacht.daemon.status.health import Health, RootHealth
from hashwacht.daemon.status.status import Status, lane_name
from hashwacht.matching.hashlists.update_state import ListAge
from hashwacht.settings import RootSettings
from hashwacht.settings.units import duration_to_text
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import LocationState
from hashwacht.storage.reports import Backlog

_WIDTH = 14


def text(status: Status) -> Iterator[str]:
    """Yield the lines, escaped for a terminal."""
    protection = status.protection.value.upper().replace("-", " ")
    yield f"{protection}   hashwacht {__version__}, {format_time(status.at)}"
    for problem in status.problems:
        mark = "!!" if problem.critical else "! "
        yield escape_text(f"  {mark} {problem.subject}: {problem.detail}")
        if problem.advice:
            yield escape_text(f"     {problem.advice}")
    yield ""
    for heading, lines in _sections(status):
        for number, line in enumerate(lines):
            yield escape_text(f"{heading if not number else '':{_WIDTH}}{line}")


def _sections(status: Status) -> Iterator[tuple[str, Sequence[str]]]:
    health, storage, now = status.health, status.storage, status.at
    yield "Processes", _processes(health, status.courier, now)
    known = {} if health is None else {root.name: root for root in health.roots}
    roots = [
        line
        for root in status.settings.roots
        for line in _root(root, known.get(root.name), storage, now)
    ]
    if roots:
        roots.append(_rereads(status.settings.scan.reread_interval))
    yield "Roots", roots or ["none configured"]
    if health is not None:
        yield "Matchers", [_matcher(matcher, now) for matcher in health.matchers] or ["none"]
        yield "Sandbox", [_sandbox(health)]
        yield "Uploads", [_uploads(health)]
        if health.gateway is not None:
            yield "Gateway", [_front(front) for front in health.gateway.fronts]
    if status.lists:
        yield "Hash lists", [_list(age, now) for age in status.lists]
    if storage is not None:
        yield from _storage(storage, now)


def _processes(health: Health | None, courier: str | None, now: float) -> list[str]:
    others = [] if courier is None else [f"courier: {courier or 'reachable'}"]
    if health is None:
        return ["scanner: not started since the machine booted", *others]
    scanner = (
        f"scanner: {health.stage}, pid {health.pid}, up"
        f" {format_duration(health.at - health.started)},"
        f" {format_size(health.memory_bytes)}, {plural(health.workers, 'worker')},"
        f" last heartbeat {format_age(health.at, now)}"
    )
    return [scanner, *others]


def _root(
    root: RootSettings,
    known: RootHealth | None,
    storage: StorageStatus | None,
    now: float,
) -> Iterator[str]:
    yield f"{root.name}: {escape_path(bytes(root.directory))}"
    if known is not None:
        state = f"not watched ({known.problem})" if known.problem else "watched"
        event, canary = (format_age(at, now) for at in (known.last_event, known.last_canary))
        yield f"  {state}, {known.watch}, last file {event}, canary {canary}"
    if storage is not None:
        yield f"  last full rescan {format_age(storage.last_rescans.get(root.name), now)}"
        for gap in [gap for gap in storage.gaps if gap.root == root.name][:3]:
            ended = "still open" if gap.ended is None else f"ended {format_age(gap.ended, now)}"
            yield f"  gap: {gap.cause}, began {format_age(gap.began, now)}, {ended}"


def _rereads(interval: float) -> str:
    if not interval:
        return "unchanged files are never read again"
    return f"unchanged files are read again within {duration_to_text(interval)}"


def _matcher(matcher: MatcherHealth, now: float) -> str:
    answered = f"{matcher.name}: last answer {format_age(matcher.last_answer, now)}"
    return f"{answered}; {matcher.problem}" if matcher.problem else answered


def _list(age: ListAge, now: float) -> str:
    imported = f"{age.name}: imported {format_age(age.imported_at, now)}"
    if age.max_age is None:
        return f"{imported}, no source"
    updated = f"{imported}, up to date {format_age(age.record.succeeded_at, now)}"
    return f"{updated}; {age.record.problem}" if age.record.problem else updated


def _sandbox(health: Health) -> str:
    layers = [
        f"{name} inactive ({problem})" if problem else f"{name} active"
        for name, problem in health.sandbox.items()
    ]
    return "; ".join(layers) or "not yet known"


def _uploads(health: Health) -> str:
    if health.upload_connections is None:
        return "none accepted from web applications"
    uploads, refused = count(health.counts.uploads), count(health.counts.refused_connections)
    connections = plural(health.upload_connections, "connection")
    return f"{connections}, {uploads} checked, {refused} connections refused (over the limit)"


def _front(front: FrontReport) -> str:
    checks = ", ".join(f"{count(number)} {outcome}" for outcome, number in front.checks.items())
    faults = f", {count(front.protocol_errors)} protocol errors" if front.protocol_errors else ""
    faults += f", {count(front.cut_streams)} cut streams" if front.cut_streams else ""
    state = plural(front.connections, "connection") if front.is_open else "closed"
    return f"{front.name}: {state}, {checks}{faults}"


def _storage(storage: StorageStatus, now: float) -> Iterator[tuple[str, Sequence[str]]]:
    yield (
        "Queue",
        [
            f"{lane_name(lane)}: {_backlog(backlog, 'file', 'files', now)}"
            for lane, backlog in storage.queue.items()
        ],
    )
    yield (
        "Undetermined",
        [
            _backlog(storage.undetermined, "content", "contents", now),
            f"waiting for a matcher: {_backlog(storage.unanswered, 'content', 'contents', now)}",
        ],
    )
    yield "Cases", [_cases(storage), _case_files(storage)]
    limits = [
        f"limit {limit.id}, {limit.subject.scope} {limit.subject.root}: {limit.decision}"
        for limit in storage.reached_limits
    ]
    yield "Action limits", limits or ["none reached"]
    yield (
        "Alerts",
        [
            f"{channel.channel}: {count(channel.waiting)} waiting, last delivery"
            f" {format_age(channel.delivered_at, now)}"
            + (f"; {channel.problem}" if channel.problem else "")
            for channel in storage.alerts
        ]
        or ["no channel configured"],
    )
    entries = plural(storage.audit.seq, "entry", "entries")
    newest = f"{entries}, newest {storage.audit.hash}" if storage.audit.seq else entries
    yield "Audit log", [newest]


def _cases(storage: StorageStatus) -> str:
    undecided = storage.cases.get(CaseState.OPEN, 0)
    others = [
        f"{count(number)} {state}"
        for state, number in storage.cases.items()
        if state is not CaseState.OPEN
    ]
    return ", ".join([f"{plural(undecided, 'case')} waiting for a decision", *others])


def _case_files(storage: StorageStatus) -> str:
    states = (
        LocationState.OBSERVED,
        LocationState.HELD,
        LocationState.QUARANTINED,
        LocationState.WAITING,
        LocationState.FAILED,
    )
    counts = (f"{count(storage.case_files.get(state, 0))} {state}" for state in states)
    return "files: " + ", ".join(counts)


def _backlog(backlog: Backlog, singular: str, plural_form: str, now: float) -> str:
    number = plural(backlog.number, singular, plural_form)
    return (
        number if backlog.oldest is None else f"{number}, oldest {format_age(backlog.oldest, now)}"
    )

"""The one screen of ``hashwacht status``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hashwacht import __version__
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
from hashwacht.settings import RootSettings
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import LocationState
from hashwacht.storage.reports import Backlog

_WIDTH = 14


def text(status: Status) -> Iterator[str]:
    """Give the lines, each harmless to a terminal."""
    word = status.protection.value.upper().replace("-", " ")
    yield f"{word}   hashwacht {__version__}, {format_time(status.at)}"
    for remark in status.problems:
        yield escape_text(
            f"  {'!!' if remark.critical else '! '} {remark.subject}: {remark.detail}"
        )
        if remark.advice:
            yield escape_text(f"     {remark.advice}")
    yield ""
    for head, lines in _parts(status):
        for number, each in enumerate(lines):
            yield escape_text(f"{head if not number else '':{_WIDTH}}{each}")


def _parts(status: Status) -> Iterator[tuple[str, Sequence[str]]]:
    health, found, now = status.health, status.storage, status.at
    yield "Processes", _processes(health, status.courier, now)
    known = {} if health is None else {root.name: root for root in health.roots}
    roots = [
        part
        for root in status.settings.roots
        for part in _root(root, known.get(root.name), found, now)
    ]
    yield "Roots", roots or ["none is configured"]
    if health is not None:
        yield "Matchers", [_matcher(each, now) for each in health.matchers] or ["none"]
        yield "Sandbox", [_sandbox(health)]
        yield "Uploads", [_uploads(health)]
    if found is not None:
        yield from _found(found, now)


def _processes(health: Health | None, courier: str | None, now: float) -> list[str]:
    others = [] if courier is None else [f"courier {courier or 'in reach'}"]
    if health is None:
        return ["no scanner since this machine started", *others]
    said = f"last heard of {format_age(health.at, now)}"
    scanner = (
        f"scanner {health.stage}, process {health.pid}, up"
        f" {format_duration(health.at - health.started)},"
        f" {format_size(health.memory_bytes)}, {plural(health.workers, 'worker')}, {said}"
    )
    return [scanner, *others]


def _root(
    root: RootSettings, known: RootHealth | None, found: StorageStatus | None, now: float
) -> Iterator[str]:
    yield f"{root.name}: {escape_path(bytes(root.directory))}"
    if known is not None:
        file, canary = (format_age(at, now) for at in (known.last_event, known.last_canary))
        yield f"  {known.problem or 'watched'} by {known.watch}, last file {file}, canary {canary}"
    if found is not None:
        yield f"  wholly compared with the state {format_age(found.walked.get(root.name), now)}"
        for gap in [gap for gap in found.gaps if gap.root == root.name][:3]:
            until = "still open" if gap.ended is None else f"until {format_age(gap.ended, now)}"
            yield f"  gap from {format_age(gap.began, now)} {until}: {gap.cause}"


def _matcher(matcher: MatcherHealth, now: float) -> str:
    told = f"{matcher.name}: last good answer {format_age(matcher.last_answer, now)}"
    return f"{told}; {matcher.problem}" if matcher.problem else told


def _sandbox(health: Health) -> str:
    layers = [
        f"{name} missing ({problem})" if problem else f"{name} active"
        for name, problem in health.sandbox.items()
    ]
    return "; ".join(layers) or "not known yet"


def _uploads(health: Health) -> str:
    """Say what web applications hand over."""
    if health.upload_connections is None:
        return "none are taken from web applications"
    handed, refused = count(health.counts.uploads), count(health.counts.refused_connections)
    held = plural(health.upload_connections, "connection")
    return f"{held} of web applications, {handed} handed over, {refused} refused as too many"


def _found(found: StorageStatus, now: float) -> Iterator[tuple[str, Sequence[str]]]:
    yield (
        "Queue",
        [
            f"{lane_name(lane)}: {_pile(pile, 'file', 'files', now)}"
            for lane, pile in found.lanes.items()
        ],
    )
    yield (
        "Undetermined",
        [
            _pile(found.undetermined, "content", "contents", now),
            f"of these wait for an answer: {_pile(found.unanswered, 'content', 'contents', now)}",
        ],
    )
    yield "Cases", [_cases(found), _actions(found)]
    floods = [
        f"number {flood.id}, {flood.subject.scope} {flood.subject.root}: {flood.decision}"
        for flood in found.floods
    ]
    yield "Action limits", floods or ["no action is paused"]
    yield (
        "Alerts",
        [
            f"{each.channel}: {count(each.waiting)} waiting, last delivered"
            f" {format_age(each.delivered_at, now)}" + (f"; {each.problem}" if each.problem else "")
            for each in found.alerts
        ]
        or ["no channel is configured"],
    )
    number = plural(found.audit.seq, "entry", "entries")
    yield "Audit", [f"{number}, the last one {found.audit.hash}" if found.audit.seq else number]


def _cases(found: StorageStatus) -> str:
    waiting = found.cases.get(CaseState.OPEN, 0)
    others = [
        f"{count(number)} {state}"
        for state, number in found.cases.items()
        if state is not CaseState.OPEN
    ]
    return ", ".join([f"{plural(waiting, 'case')} waiting for a decision", *others])


def _actions(found: StorageStatus) -> str:
    shown = (
        LocationState.OBSERVED,
        LocationState.HELD,
        LocationState.QUARANTINED,
        LocationState.WAITING,
        LocationState.FAILED,
    )
    return "files: " + ", ".join(f"{count(found.places.get(each, 0))} {each}" for each in shown)


def _pile(pile: Backlog, one: str, several: str, now: float) -> str:
    number = plural(pile.number, one, several)
    return number if pile.oldest is None else f"{number}, the oldest {format_age(pile.oldest, now)}"

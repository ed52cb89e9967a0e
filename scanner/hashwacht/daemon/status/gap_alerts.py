"""Telling of gaps, and of matchers that are silent: once each, in the audit log and to people."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent, AuditLog
from hashwacht.core.events import Event, event_fields
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.watch_events import Cause
from hashwacht.daemon.scanner.runtime import MatcherHealth
from hashwacht.storage.gaps import Gap
from hashwacht.storage.store import Store

_logger = logging.getLogger(__name__)

LATE = 3600.0
"""Seconds after which a gap that is still open is told to people."""

LASTING = 300.0
"""The same for one in which events are still being missed: a walk cannot close it."""

SILENT = 600.0
"""Seconds without a usable answer after which people are told that a matcher does not answer."""

AUDIT_ACTOR = "daemon"


class GapAlerts:
    """Looks at the open gaps from time to time.  Used by one thread."""

    def __init__(
        self,
        store: Store,
        log: AuditLog,
        tell: Callable[[Notice], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Know of those that are open already: they were told when they came."""
        self._store, self._log, self._tell, self._clock = store, log, tell, clock
        self._open = {gap.id: gap for gap in store.gaps.load_open()}
        self._told: set[int] = set()
        self._silent: dict[str, float] = {}
        self._missed: set[str] = set()

    def check_gaps(self) -> None:
        """Write down what has come and gone since the last look; tell what has lasted too long.

        The comparisons that are made without a reason are no news.
        """
        now = self._clock()
        gaps = {gap.id: gap for gap in self._store.gaps.load_open()}
        acts = [
            (AuditEvent.GAP_OPENED, gap) for number, gap in gaps.items() if number not in self._open
        ]
        acts += [
            (AuditEvent.GAP_CLOSED, gap) for number, gap in self._open.items() if number not in gaps
        ]
        for act, gap in acts:
            if gap.cause is not Cause.PERIODIC:
                self._log.append(act, AUDIT_ACTOR, _facts(gap))
                _note(act, gap)
        self._open = gaps
        self._told.intersection_update(gaps)
        for number, gap in gaps.items():
            if number not in self._told and now - gap.began > _patience(gap):
                self._told.add(number)
                self._tell(Notice(NoticeKind.GAP, now, _summary(gap)))

    def check_matchers(self, matchers: Sequence[MatcherHealth]) -> None:
        """Tell once of each matcher that has been silent for long, and when it answers again."""
        now = self._clock()
        for each in matchers:
            if each.problem:
                since = self._silent.setdefault(each.name, now)
                if now - since > SILENT and each.name not in self._missed:
                    self._missed.add(each.name)
                    text = f"matcher {each.name} has not answered for {SILENT / 60:.0f} minutes"
                    self._tell(Notice(NoticeKind.OUTAGE, now, f"{text}: {each.problem}"))
                    extra = event_fields(Event.MATCHER_DOWN, matcher=each.name)
                    _logger.warning("%s: %s", text, each.problem, extra=extra)
                continue
            self._silent.pop(each.name, None)
            if each.name in self._missed:
                self._missed.remove(each.name)
                text = f"matcher {each.name} answers again"
                self._tell(Notice(NoticeKind.OUTAGE, now, text))
                _logger.info(
                    "%s", text, extra=event_fields(Event.MATCHER_RECOVERED, matcher=each.name)
                )


def _note(act: AuditEvent, gap: Gap) -> None:
    """Write it into the process's log as well."""
    event = Event.GAP_OPENED if act is AuditEvent.GAP_OPENED else Event.GAP_CLOSED
    extra = event_fields(event, root=gap.root, path=gap.path, cause=str(gap.cause))
    if event is Event.GAP_OPENED:
        _logger.warning("%s", _summary(gap), extra=extra)
    else:
        text = "made up for what may have been missed in root %s (%s)"
        _logger.info(text, gap.root, gap.cause, extra=extra)


def _patience(gap: Gap) -> float:
    return LASTING if gap.ended is None else LATE


def _summary(gap: Gap) -> str:
    where = f"root {gap.root}" + (f", {escape_path(gap.path)}" if gap.path else "")
    detail = f" ({gap.detail})" if gap.detail else ""
    return f"files may have been missed in {where}: {gap.cause}{detail}"


def _facts(gap: Gap) -> dict[str, JSON]:
    return {
        "gap": gap.id,
        "root": gap.root,
        **(to_json(gap.path) if gap.path else {}),
        "cause": str(gap.cause),
        "detail": gap.detail,
        "began": gap.began,
        "ended": gap.ended,
    }

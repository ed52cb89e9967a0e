"""What the scanner reports regularly: its health, alerts about gaps, silent matchers, stale lists.

The health goes to ``status.json`` and to systemd.  A gap is recorded in the audit log and in the
process's log when it opens and closes; people are alerted if it lasts, once for each gap.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from hashwacht import __version__
from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent, AuditLog
from hashwacht.core.errors import ListError, StorageError
from hashwacht.core.events import Event, event_fields
from hashwacht.core.gateway_report import GatewayReport
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.watch_events import Cause
from hashwacht.daemon.scanner.runtime import MatcherHealth
from hashwacht.daemon.scanner.scanner import Scanner
from hashwacht.daemon.status.health import Health, HealthFile, RootHealth, Stage
from hashwacht.matching.hashlists.update_state import list_ages
from hashwacht.platform.process import pid_namespace
from hashwacht.platform.systemd import SystemdNotifier
from hashwacht.settings import ListSourceSettings
from hashwacht.storage.gaps import Gap
from hashwacht.storage.store import Store

_log = logging.getLogger(__name__)

MEMORY_INTERVAL = 30.0
"""Seconds between two measurements of memory: each reads every process of the machine."""

RESCAN_ALERT_AFTER = 3600.0
"""Seconds after which people are alerted to a gap that waits for its rescan."""

ONGOING_ALERT_AFTER = 300.0
"""Seconds after which people are alerted to a gap in which events are still being missed."""

MATCHER_ALERT_AFTER = 600.0
"""Seconds without a usable answer after which people are alerted to a matcher."""

LIST_INTERVAL = 60.0
"""Seconds between two checks of the age of hash lists."""

AUDIT_ACTOR = "daemon"


class HealthReporter:
    """Writes the scanner's health regularly.  Used by one thread."""

    def __init__(
        self,
        scanner: Scanner,
        store: Store,
        file: HealthFile,
        notifier: SystemdNotifier,
        watch_method: str,
    ) -> None:
        self._scanner, self._store = scanner, store
        self._file, self._notifier, self._watch_method = file, notifier, watch_method
        self._health = Health(os.getpid(), __version__, time.time(), pid_namespace=pid_namespace())
        self._measured = float("-inf")
        self.sandbox: Mapping[str, str] = {}
        self.upload_connections: Callable[[], int | None] = lambda: None
        self.gateway: Callable[[], GatewayReport | None] = lambda: None

    def run_once(self) -> None:
        """Feed systemd's watchdog, and write the health if that is due."""
        if not self._scanner.is_stuck:
            self._notifier.keep_alive()
        if self._file.is_due():
            self.write(Stage.WATCHING)

    def write(self, stage: Stage) -> None:
        """Write the health now; a file that cannot be written is logged only."""
        if time.monotonic() - self._measured > MEMORY_INTERVAL:
            self._measured = time.monotonic()
            self._health = replace(self._health, memory_bytes=_resident_memory())
        scanner, runtime = self._scanner, self._scanner.runtime.current
        names = [configured.matcher.name for configured in runtime.pipeline.matcher_set.matchers]
        counts = scanner.counters.snapshot()
        self._health = replace(
            self._health,
            stage=stage,
            queued_announcements=len(scanner.queue),
            workers=runtime.jobs,
            roots=self._root_health(),
            matchers=scanner.verdicts.matcher_health.get_all(names),
            sandbox=self.sandbox,
            counts=counts,
            upload_connections=self.upload_connections(),
            gateway=self.gateway(),
        )
        try:
            self._file.write(self._health)
        except OSError as error:
            _log.warning("cannot write %s: %s", self._file.path, error.strerror)
        self._notifier.status(f"{stage.value}, {sum(counts.verdicts.values())} files checked")

    def _root_health(self) -> tuple[RootHealth, ...]:
        monitor, problems = self._scanner.monitor, self._watch_problems()
        return tuple(
            RootHealth(
                name=root.name,
                path=root.path,
                watch=self._watch_method,
                problem=problems.get(root.name, monitor.problem),
                last_event=monitor.last_event.get(root.name),
                last_canary=monitor.last_canary.get(root.name),
            )
            for root in self._scanner.runtime.current.roots.all
        )

    def _watch_problems(self) -> dict[str, str]:
        """Return why each unwatched root is not watched: the cause of its gap without an end."""
        try:
            gaps = self._store.gaps.load_open()
        except StorageError as error:
            _log.warning("%s", error.message)
            return {}
        return {
            gap.root: f"{gap.cause}: {gap.detail}" if gap.detail else str(gap.cause)
            for gap in gaps
            if gap.ended is None and gap.cause not in {Cause.REMOTE, Cause.UNLISTED}
        }


class GapReporter:
    """Reports gaps, silent matchers and stale lists.  Used by one thread."""

    def __init__(
        self,
        store: Store,
        audit_log: AuditLog,
        notify: Callable[[Notice], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start with the gaps that are open already: their opening has been recorded."""
        self._store, self._audit_log, self._notify, self._clock = store, audit_log, notify, clock
        self._open = {gap.id: gap for gap in store.gaps.load_open()}
        self._alerted_gaps: set[int] = set()
        self._failing_since: dict[str, float] = {}
        self._alerted_matchers: set[str] = set()
        self._alerted_lists: set[str] = set()
        self._lists_checked = 0.0

    def check_gaps(self) -> None:
        """Record the gaps that opened or closed since the last call; alert to lasting ones.

        Periodic rescans are not recorded.
        """
        now = self._clock()
        gaps = {gap.id: gap for gap in self._store.gaps.load_open()}
        for number, gap in gaps.items():
            if number not in self._open:
                self._record(gap, AuditEvent.GAP_OPENED)
        for number, gap in self._open.items():
            if number not in gaps:
                self._record(gap, AuditEvent.GAP_CLOSED)
        self._open = gaps
        self._alerted_gaps.intersection_update(gaps)
        for number, gap in gaps.items():
            limit = ONGOING_ALERT_AFTER if gap.ended is None else RESCAN_ALERT_AFTER
            if number not in self._alerted_gaps and now - gap.began > limit:
                self._alerted_gaps.add(number)
                self._notify(Notice(NoticeKind.GAP, now, _summary(gap)))

    def check_matchers(self, matchers: Sequence[MatcherHealth]) -> None:
        """Alert once to each matcher that fails for long, and when it answers again."""
        now = self._clock()
        for matcher in matchers:
            name = matcher.name
            if matcher.problem:
                since = self._failing_since.setdefault(name, now)
                if now - since > MATCHER_ALERT_AFTER and name not in self._alerted_matchers:
                    self._alerted_matchers.add(name)
                    minutes = f"{MATCHER_ALERT_AFTER / 60:.0f} minutes"
                    text = f"matcher {name} has not answered for {minutes}: {matcher.problem}"
                    self._notify(Notice(NoticeKind.OUTAGE, now, text))
                    _log.warning("%s", text, extra=event_fields(Event.MATCHER_DOWN, matcher=name))
                continue
            self._failing_since.pop(name, None)
            if name in self._alerted_matchers:
                self._alerted_matchers.remove(name)
                text = f"matcher {name} answers again"
                self._notify(Notice(NoticeKind.OUTAGE, now, text))
                _log.info("%s", text, extra=event_fields(Event.MATCHER_RECOVERED, matcher=name))

    def check_lists(self, directory: Path, sources: Sequence[ListSourceSettings]) -> None:
        """Alert once to each list that is stale, and when it is up to date again.

        The files are read once a minute, and not at all without a source.
        """
        now = self._clock()
        if not sources or abs(now - self._lists_checked) < LIST_INTERVAL:
            return
        self._lists_checked = now
        try:
            ages = [*list_ages(directory, sources)]
        except ListError as error:  # the matcher reports it
            _log.warning("%s", error.message)
            return
        for age in ages:
            reason, is_alerted = age.stale_reason(now), age.name in self._alerted_lists
            if bool(reason) is is_alerted:
                continue
            self._alerted_lists.symmetric_difference_update({age.name})
            text = f"hash list {age.name} is up to date again"
            if reason:
                text = f"hash list {age.name} is stale: {reason}"
            self._notify(Notice(NoticeKind.OUTAGE, now, text))
            _log.warning("%s", text)

    def _record(self, gap: Gap, act: AuditEvent) -> None:
        if gap.cause is Cause.PERIODIC:
            return
        self._audit_log.append(act, AUDIT_ACTOR, _facts(gap))
        event = Event.GAP_OPENED if act is AuditEvent.GAP_OPENED else Event.GAP_CLOSED
        extra = event_fields(event, root=gap.root, path=gap.path, cause=str(gap.cause))
        if event is Event.GAP_OPENED:
            _log.warning("%s", _summary(gap), extra=extra)
        else:
            _log.info("a rescan closed the gap in root %s (%s)", gap.root, gap.cause, extra=extra)


def _resident_memory() -> int:
    """Return the resident bytes of this process and its children, pages that they share once."""
    process = psutil.Process()
    return sum(map(_proportional_memory, (process, *process.children(recursive=True))))


def _proportional_memory(process: psutil.Process) -> int:
    """Return PSS (proc(5)), or what is not shared of a process that forbids to read it."""
    with suppress(psutil.Error):  # it has just exited
        try:
            return int(process.memory_full_info().pss)
        except psutil.AccessDenied:
            info = process.memory_info()
            return int(info.rss - info.shared)
    return 0


def _summary(gap: Gap) -> str:
    place = f"root {gap.root}" + (f", {escape_path(gap.path)}" if gap.path else "")
    detail = f" ({gap.detail})" if gap.detail else ""
    return f"files may have been missed in {place}: {gap.cause}{detail}"


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

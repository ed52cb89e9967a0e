"""How the scanner is, for ``status.json`` and the service manager."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import psutil

from hashwacht import __version__
from hashwacht.core.errors import StorageError
from hashwacht.core.watch_events import Cause
from hashwacht.daemon.scanner.scanner import Scanner
from hashwacht.daemon.status.health import Health, HealthFile, RootHealth, Stage
from hashwacht.platform.systemd import SystemdNotifier
from hashwacht.storage.gaps import Gap
from hashwacht.storage.store import Store

_log = logging.getLogger(__name__)

MEASURE = 30.0
"""Seconds between two looks at the memory: it means a look at every process of the machine."""


class StatusWriter:
    """Says from time to time how the scanner is.  Used by one thread."""

    def __init__(
        self,
        scanner: Scanner,
        store: Store,
        file: HealthFile,
        notifier: SystemdNotifier,
        watch: str,
    ) -> None:
        """*watch* is what the kernel is asked with."""
        self._scanner, self._store = scanner, store
        self._file, self._notifier, self._watch = file, notifier, watch
        self._health = Health(os.getpid(), __version__, time.time())
        self._measured = float("-inf")
        self.sandbox: Mapping[str, str] = {}
        self.upload_connections: Callable[[], int | None] = lambda: None

    def run_once(self) -> None:
        """Feed the service manager's watchdog, and write if it is time."""
        if not self._scanner.is_stuck:
            self._notifier.keep_alive()
        if self._file.due():
            self.write(Stage.WATCHING)

    def write(self, stage: Stage) -> None:
        """Write how the scanner is.  What cannot be written is no reason to stop."""
        if time.monotonic() - self._measured > MEASURE:
            self._measured = time.monotonic()
            self._health = replace(self._health, memory_bytes=_memory())
        observed = self._scanner.observed
        parts = observed.runtime.current
        names = [configured.matcher.name for configured in parts.pipeline.matcher_set.matchers]
        counts = observed.counting.snapshot()
        self._health = replace(
            self._health,
            stage=stage,
            queued_announcements=len(observed.queue),
            workers=parts.jobs,
            roots=self._roots(),
            matchers=observed.verdicts.matcher_health.get_all(names),
            sandbox=self.sandbox,
            counts=counts,
            upload_connections=self.upload_connections(),
        )
        try:
            self._file.write(self._health)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._file.path, error.strerror)
        self._notifier.status(f"{stage.value}, {sum(counts.verdicts.values())} files judged")

    def _roots(self) -> tuple[RootHealth, ...]:
        seeing = self._scanner.observed.seeing
        problems = self._problems()
        return tuple(
            RootHealth(
                name=root.name,
                path=root.path,
                watch=self._watch,
                problem=problems.get(root.name, seeing.problem),
                last_event=seeing.last_event.get(root.name),
                last_canary=seeing.last_canary.get(root.name),
            )
            for root in self._scanner.observed.runtime.current.roots.all
        )

    def _problems(self) -> dict[str, str]:
        """Say why a root is not watched now: what keeps it from being so has no end yet."""
        try:
            gaps = self._store.gaps.load_open()
        except StorageError as error:
            _log.warning("%s", error.message)
            return {}
        return {gap.root: _problem(gap) for gap in gaps if _is_blind(gap)}


def _is_blind(gap: Gap) -> bool:
    return gap.ended is None and gap.cause not in {Cause.REMOTE, Cause.UNLISTED}


def _problem(gap: Gap) -> str:
    return f"{gap.cause}: {gap.detail}" if gap.detail else str(gap.cause)


def _memory() -> int:
    """Add up the resident bytes of this process and its workers."""
    us = psutil.Process()
    total = 0
    for each in (us, *us.children(recursive=True)):
        try:
            total += each.memory_info().rss
        except psutil.Error:  # it has just ended
            continue
    return total

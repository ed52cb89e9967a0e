"""The scanner as a process: built from the settings, and built anew for a reload."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from hashwacht import __version__, bootstrap
from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent
from hashwacht.core.errors import ConfigurationError, HashwachtError, UsageError, WorkerError
from hashwacht.core.events import Event, event_fields
from hashwacht.core.notice import Notice
from hashwacht.daemon.outbox_sender import OutboxSender
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.daemon.scanner.runtime import Runtime
from hashwacht.daemon.scanner.scanner import Scanner
from hashwacht.daemon.scanner.watch_monitor import WatchMonitor
from hashwacht.daemon.status.gap_alerts import AUDIT_ACTOR, GapAlerts
from hashwacht.daemon.status.health import HealthFile, Stage
from hashwacht.daemon.status.health_writer import StatusWriter
from hashwacht.daemon.status.metrics import render_metrics
from hashwacht.daemon.status.metrics_server import MetricsServer
from hashwacht.daemon.status.status import status
from hashwacht.daemon.upload_handler import UploadDeps, UploadHandler
from hashwacht.daemon.upload_server import UploadServer
from hashwacht.ipc.sockets import listen
from hashwacht.pipeline import Pipeline
from hashwacht.platform.systemd import SystemdNotifier, inherited_sockets
from hashwacht.settings import Configuration, Settings
from hashwacht.settings.show import digest
from hashwacht.storage.store import Store
from hashwacht.uploads.local import ResultStorage
from hashwacht.watch.canary import Canary
from hashwacht.watch.factory import build_watch
from hashwacht.watch.queue import AnnouncementQueue

_log = logging.getLogger(__name__)


def scanner_process(
    read: Callable[[], Configuration],
    environ: Mapping[str, str],
    notifier: SystemdNotifier,
    stop: threading.Event,
    reload: threading.Event,
    *,
    handed: Sequence[socket.socket] = (),
) -> None:
    """Build everything and run until *stop*; *reload* has the settings read anew.

    *read* gives the configuration, at first and for each reload.  A reload with a mistake in them
    changes nothing and is logged.  Uploads are taken on the *handed* sockets.  Raises
    HashwachtError if it cannot begin or go on.
    """
    settings = read().settings
    if not settings.roots:
        raise UsageError(
            "no directory is configured to be watched",
            advice="Write a table [roots.NAME] with its path into the configuration.",
        )
    _make(settings.daemon.runtime_path)
    with ExitStack() as stack:
        store = bootstrap.store(settings)
        stack.callback(lambda: store.close() if process is None or process.ended else None)
        process: _Process | None = None
        stack.enter_context(store.acquire_daemon_lock())
        process = _Process(settings, store, notifier)
        stack.enter_context(process.metrics(environ))
        stack.enter_context(process.telling())
        stack.enter_context(process.reception(handed))
        process.run(read, stop, reload)


class _Process:
    """What is built once, and what a reload builds anew."""

    def __init__(self, settings: Settings, store: Store, notifier: SystemdNotifier) -> None:
        self._settings, self._store, self._notifier = settings, store, notifier
        self._log = bootstrap.audit_log(settings)
        queue = AnnouncementQueue(settings.daemon.max_queued_events)
        seeing = WatchMonitor(
            store,
            queue,
            build_watch(
                settings.daemon.watch_method, settings.daemon.runtime_path / "watcher.sock"
            ),
            lambda roots: Canary(roots, 2 * self._settings.daemon.canary_interval),
        )
        self._reception: UploadServer | None = None
        parts = self._parts(settings)
        self._scanner = Scanner(store=store, parts=parts, queue=queue, seeing=seeing)
        self._reporting = StatusWriter(
            self._scanner,
            store,
            HealthFile(settings.daemon.runtime_path),
            notifier,
            settings.daemon.watch_method.value,
        )
        self._reporting.sandbox = _layers(parts.pipeline)

    def _parts(self, settings: Settings) -> Runtime:
        """Build what the scanner works with.  Raises HashwachtError."""
        roots = build_roots(settings)
        # An upload waits for its verdict: unlike a scan it does not give way to everybody.
        urgent = replace(settings, scan=replace(settings.scan, low_priority=False))
        return Runtime(
            roots=roots,
            pipeline=bootstrap.scanner_pipeline(urgent, self._store.crash_log),
            casework=bootstrap.case_services(
                settings, self._store, AUDIT_ACTOR, logs=True
            ).casework(),
            settings=settings.daemon,
            jobs=bootstrap.jobs(settings),
        )

    @property
    def ended(self) -> bool:
        """True if nobody uses the state any more."""
        return self._scanner.ended and (self._reception is None or self._reception.ended)

    def metrics(self, environ: Mapping[str, str]) -> MetricsServer:
        """Answer who asks for metrics."""
        own = listen(self._settings.daemon.runtime_path / "metrics.sock")
        return MetricsServer(
            [own, *inherited_sockets(environ, "metrics")],
            lambda: render_metrics(lambda: status(self._settings, time.time(), self._store)),
            self._settings.daemon.metrics_file,
        )

    def reception(self, listeners: Sequence[socket.socket]) -> UploadServer:
        """Take uploads that web applications hand over."""
        observed = self._scanner.observed
        means = UploadDeps(
            state=ResultStorage(self._store, bootstrap.upload_contexts(self._settings)),
            partial=bootstrap.partial_uploads(self._settings),
            runtime=observed.runtime,
            verdicts=observed.verdicts,
            counting=observed.counting,
            most=lambda: self._settings.uploads.max_file_size,
        )
        self._reception = reception = UploadServer(listeners, UploadHandler(means))
        self._scanner.on_stop = self._reception.close
        if listeners:
            self._reporting.upload_connections = lambda: reception.connection_count
        return self._reception

    def telling(self) -> OutboxSender:
        """Deliver what is added to the outbox."""
        courier = bootstrap.courier_socket(self._settings)
        return OutboxSender(
            self._store.outbox, courier, lambda: self._settings.alerts.group_interval
        )

    def run(
        self, read: Callable[[], Configuration], stop: threading.Event, reload: threading.Event
    ) -> None:
        """Run, and say how it goes."""
        keeping = GapAlerts(self._store, self._log, self._tell)
        observed = self._scanner.observed
        ready = False

        def on_watch_checked() -> None:
            keeping.check_gaps()
            keeping.check_matchers(observed.verdicts.matcher_health.all())

        def each_round() -> Runtime | None:
            nonlocal ready
            if not ready:  # the watch has begun, or there would be no round
                ready = True
                self._notifier.ready()
            self._reporting.run_once()
            if not reload.is_set():
                return None
            reload.clear()
            return self._reload(read)

        self._scanner.on_watch_checked = on_watch_checked
        self._log.append(AuditEvent.STARTED, AUDIT_ACTOR, configured(self._settings))
        _log.info("started", extra=event_fields(Event.STARTED))
        try:
            self._scanner.run(stop, each_round)
        finally:
            self._notifier.stopping()
            self._reporting.write(Stage.STOPPED)
            observed.runtime.current.pipeline.close()
        self._log.append(AuditEvent.STOPPED, AUDIT_ACTOR, {"pid": os.getpid()})
        _log.info("stopped in order", extra=event_fields(Event.STOPPED))

    def _reload(self, read: Callable[[], Configuration]) -> Runtime | None:
        self._notifier.reloading()
        try:
            settings = read().settings
            parts = self._parts(settings)
        except HashwachtError as error:
            message = " ".join(error.message.split())  # faults are told in a line for each
            _log.error("the configuration stays as it was: %s %s", message, error.advice)
            return None
        else:
            self._settings = settings
            self._log.append(AuditEvent.RELOADED, AUDIT_ACTOR, configured(settings))
            _log.info("the configuration was read anew", extra=event_fields(Event.RELOADED))
            return parts
        finally:
            self._notifier.ready()

    def _tell(self, notice: Notice) -> None:
        self._store.outbox.record(notice, self._settings.alerts.channels)


def _layers(pipeline: Pipeline) -> Mapping[str, str]:
    """Return for each sandbox layer of the workers why it is not active, "" if it is."""
    try:
        return pipeline.fingerprinter.layers
    except WorkerError as error:  # tried again with every file
        return {"workers": error.message}


def _make(runtime: Path) -> None:
    try:
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{runtime}: {error.strerror}",
            advice="Make daemon.runtime_directory a directory that this user may write to.",
        ) from error


def configured(settings: Settings) -> dict[str, JSON]:
    """Say which release runs and how it is configured, for the audit log."""
    roots: dict[str, JSON] = {
        root.name: {
            "on_exact_match": str(root.on_exact_match),
            "on_similar_match": str(root.on_similar_match),
            "on_category": {name: str(wish) for name, wish in root.on_category},
            "on_undetermined": str(root.on_undetermined),
        }
        for root in settings.roots
    }
    return {
        "pid": os.getpid(),
        "version": __version__,
        "configuration_sha256": digest(settings),
        "roots": roots,
    }


def build_roots(settings: Settings) -> Roots:
    """Say what is watched.  Raises UsageError, ConfigurationError."""
    own = [settings.state.path, settings.quarantine.vault, settings.daemon.runtime_path]
    return Roots(
        settings.roots,
        bootstrap.exclusion_rules(settings).rules,
        [os.fsencode(path.absolute()) for path in own],
        bootstrap.vault(settings).is_staging_path,
    )

"""The scanner process: built from the settings, and partly rebuilt for a reload."""

from __future__ import annotations

import logging
import math
import os
import pwd
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

from hashwacht import __version__, bootstrap
from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent
from hashwacht.core.errors import ConfigurationError, HashwachtError, UsageError, WorkerError
from hashwacht.core.events import Event, event_fields
from hashwacht.daemon.gateway_requests import GatewayRequests
from hashwacht.daemon.outbox_sender import OutboxSender
from hashwacht.daemon.revision import RevisionCounter
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.daemon.scanner.runtime import Runtime
from hashwacht.daemon.scanner.scanner import Scanner
from hashwacht.daemon.scanner.watch_monitor import WatchMonitor
from hashwacht.daemon.status.health import HealthFile, Stage
from hashwacht.daemon.status.metrics import render_metrics
from hashwacht.daemon.status.metrics_server import MetricsServer
from hashwacht.daemon.status.reporter import AUDIT_ACTOR, GapReporter, HealthReporter
from hashwacht.daemon.status.status import read_status
from hashwacht.daemon.upload_handler import UploadHandler
from hashwacht.daemon.upload_server import UploadServer
from hashwacht.ipc.sockets import listen
from hashwacht.platform.systemd import SystemdNotifier, inherited_sockets
from hashwacht.settings import Configuration, Settings
from hashwacht.settings.gateway import GATEWAY_USER
from hashwacht.settings.show import digest
from hashwacht.storage.store import Store
from hashwacht.uploads.local import ResultStorage
from hashwacht.watch import build_watch
from hashwacht.watch.canary import Canary
from hashwacht.watch.queue import AnnouncementQueue

_log = logging.getLogger(__name__)

ACCOUNTS_INTERVAL = 5.0
"""Seconds for which the accounts of the machine are not read again."""


def scanner_process(
    load: Callable[[], Configuration],
    environ: Mapping[str, str],
    notifier: SystemdNotifier,
    stop: threading.Event,
    reload: threading.Event,
    *,
    upload_listeners: Sequence[socket.socket] = (),
) -> None:
    """Run the scanner until *stop* is set; *reload* makes it load the configuration again.

    A reload with a faulty configuration is logged and changes nothing.  Raises HashwachtError if
    the scanner cannot start or continue.
    """
    settings = load().settings
    if not settings.roots:
        raise UsageError(
            "no root is configured", advice="Configure a directory in a table [roots.NAME]."
        )
    runtime = settings.daemon.runtime_path
    try:
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{runtime}: {error.strerror}",
            advice="Set daemon.runtime_directory to a directory that this user may write to.",
        ) from error
    with ExitStack() as stack:
        store = bootstrap.store(settings)
        stack.callback(lambda: store.close() if process is None or process.has_ended else None)
        process: _Process | None = None
        stack.enter_context(store.acquire_daemon_lock())
        process = _Process(settings, store, notifier)
        stack.enter_context(process.metrics(environ))
        stack.enter_context(process.outbox_sender())
        stack.enter_context(process.upload_server(upload_listeners))
        process.run(load, stop, reload)


class _Process:
    """The parts that are built once, and the runtime that a reload rebuilds."""

    def __init__(self, settings: Settings, store: Store, notifier: SystemdNotifier) -> None:
        self._settings, self._store, self._notifier = settings, store, notifier
        self._audit_log = bootstrap.audit_log(settings)
        daemon = settings.daemon
        queue = AnnouncementQueue(daemon.max_queued_events)
        monitor = WatchMonitor(
            store,
            queue,
            build_watch(daemon.watch_method, daemon.runtime_path / "watcher.sock"),
            lambda roots: Canary(roots, 2 * self._settings.daemon.canary_interval),
        )
        self._upload_server: UploadServer | None = None
        runtime = self._build_runtime(settings)
        self._scanner = Scanner(store=store, runtime=runtime, queue=queue, monitor=monitor)
        self._health_reporter = HealthReporter(
            self._scanner,
            store,
            HealthFile(daemon.runtime_path),
            notifier,
            daemon.watch_method.value,
        )
        try:
            self._health_reporter.sandbox = runtime.pipeline.fingerprinter.layers
        except WorkerError as error:  # retried with every file
            self._health_reporter.sandbox = {"workers": error.message}

    def _build_runtime(self, settings: Settings) -> Runtime:
        """Build the parts that depend on the configuration.  Raises HashwachtError."""
        own = [settings.state.path, settings.quarantine.vault, settings.daemon.runtime_path]
        roots = Roots(
            settings.roots,
            bootstrap.exclusion_rules(settings).rules,
            [os.fsencode(path.absolute()) for path in own],
            bootstrap.vault(settings).is_staging_path,
        )
        cases = bootstrap.case_services(settings, self._store, AUDIT_ACTOR, logs=True)
        # Uploads wait for their verdict, so the workers run at normal priority.
        foreground = replace(settings, scan=replace(settings.scan, low_priority=False))
        return Runtime(
            roots=roots,
            pipeline=bootstrap.scanner_pipeline(foreground, self._store.crash_log),
            casework=cases.processor(),
            settings=settings.daemon,
            jobs=bootstrap.jobs(settings),
            reread_interval=settings.scan.reread_interval,
        )

    @property
    def has_ended(self) -> bool:
        """Return whether no thread uses the storage any more."""
        server = self._upload_server
        return self._scanner.ended and (server is None or server.has_ended)

    def metrics(self, environ: Mapping[str, str]) -> MetricsServer:
        own = listen(self._settings.daemon.runtime_path / "metrics.sock")
        return MetricsServer(
            [own, *inherited_sockets(environ, "metrics")],
            lambda: render_metrics(lambda: read_status(self._settings, time.time(), self._store)),
            self._settings.daemon.metrics_file,
        )

    def upload_server(self, listeners: Sequence[socket.socket]) -> UploadServer:
        handler = UploadHandler(
            self._scanner,
            ResultStorage(self._store, bootstrap.upload_quota(self._settings)),
            bootstrap.partial_uploads(self._settings),
            lambda: self._settings.uploads.max_file_size,
            GatewayUsers().uids,
        )
        revision = RevisionCounter(self._settings.state.path / "revision.json")
        gateway = GatewayRequests(self._scanner, handler, lambda: self._settings, revision)
        self._upload_server = server = UploadServer(listeners, handler, gateway)
        self._scanner.on_stop = server.close
        if listeners:
            self._health_reporter.upload_connections = lambda: server.connection_count
            self._health_reporter.gateway = lambda: gateway.report
        return server

    def outbox_sender(self) -> OutboxSender:
        courier = bootstrap.courier_socket(self._settings)
        audit = bootstrap.audit_log(self._settings)
        return OutboxSender(
            self._store.outbox, courier, lambda: self._settings.alerts.group_interval, audit
        )

    def run(
        self, load: Callable[[], Configuration], stop: threading.Event, reload: threading.Event
    ) -> None:
        """Run the scanner until *stop* is set, and report its health."""
        gap_reporter = GapReporter(
            self._store,
            self._audit_log,
            lambda notice: self._store.outbox.record(notice, self._settings.alerts.channels),
        )
        ready = False

        def on_watch_checked() -> None:
            gap_reporter.check_gaps()
            gap_reporter.check_matchers(self._scanner.verdicts.matcher_health.all())
            lists = bootstrap.lists_directory(self._settings)
            gap_reporter.check_lists(lists, self._settings.lists)

        def on_round() -> Runtime | None:
            nonlocal ready
            if not ready:  # the first round comes after the watch has started
                ready = True
                self._notifier.ready()
            self._health_reporter.run_once()
            if not reload.is_set():
                return None
            reload.clear()
            return self._reload(load)

        self._scanner.on_watch_checked = on_watch_checked
        self._audit_log.append(AuditEvent.STARTED, AUDIT_ACTOR, audit_facts(self._settings))
        _log.info("started", extra=event_fields(Event.STARTED))
        try:
            self._scanner.run(stop, on_round)
        finally:
            self._notifier.stopping()
            self._health_reporter.write(Stage.STOPPED)
            self._scanner.runtime.current.pipeline.close()
        self._audit_log.append(AuditEvent.STOPPED, AUDIT_ACTOR, {"pid": os.getpid()})
        _log.info("stopped", extra=event_fields(Event.STOPPED))

    def _reload(self, load: Callable[[], Configuration]) -> Runtime | None:
        self._notifier.reloading()
        try:
            settings = load().settings
            runtime = self._build_runtime(settings)
        except HashwachtError as error:
            message = " ".join(error.message.split())  # one line for each fault
            _log.error("configuration not reloaded: %s %s", message, error.advice)
            return None
        else:
            self._settings = settings
            self._audit_log.append(AuditEvent.RELOADED, AUDIT_ACTOR, audit_facts(settings))
            _log.info("configuration reloaded", extra=event_fields(Event.RELOADED))
            return runtime
        finally:
            self._notifier.ready()


class GatewayUsers:
    """The users that may state for whom they ask: this one, and that of the gateway.

    Reading the accounts costs as much as a tenth of an upload, so they are not read for each one.
    An account that is created while this process runs counts soon.  Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at, self._uids = -math.inf, frozenset[int]()

    def uids(self) -> frozenset[int]:
        """Return the users, as they were a few seconds ago at most."""
        now = self._clock()
        if now - self._read_at > ACCOUNTS_INTERVAL:
            uids = {os.geteuid()}
            with suppress(KeyError):
                uids.add(pwd.getpwnam(GATEWAY_USER).pw_uid)
            self._read_at, self._uids = now, frozenset(uids)
        return self._uids


def audit_facts(settings: Settings) -> dict[str, JSON]:
    """Return version and configuration for the entries of starts and reloads in the audit log."""
    roots: dict[str, JSON] = {
        root.name: {
            "on_exact_match": str(root.on_exact_match),
            "on_similar_match": str(root.on_similar_match),
            "on_category": {name: str(action) for name, action in root.on_category},
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

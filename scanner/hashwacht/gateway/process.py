"""The gateway process: takes connections, and hands contents to the scanner.

It has no access to customers' files, no credentials, and a network only if TCP is configured.  A
reload ends it, and the service manager or the supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hashwacht.core.errors import ConfigurationError
from hashwacht.gateway.check_counters import CheckCounters
from hashwacht.gateway.checks import ContentChecks
from hashwacht.gateway.clamd.server import ClamdFront
from hashwacht.gateway.front import Front, FrontFaults, SupervisedFront
from hashwacht.gateway.listeners import FrontSockets
from hashwacht.gateway.scanner_checks import ScannerChecks, ScannerConnection, ScannerState
from hashwacht.gateway.unwrap import UnwrappingChecks
from hashwacht.platform.systemd import SystemdNotifier, inherited_sockets
from hashwacht.settings import Settings
from hashwacht.settings.gateway import GatewaySettings, OutageReply

_log = logging.getLogger(__name__)

WATCH_INTERVAL = 1.0
"""Seconds between two questions to the scanner whether it can answer."""


class GatewayProcess:
    """All fronts, and what watches the scanner for them."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], notifier: SystemdNotifier
    ) -> None:
        """Build everything; no socket is open yet.  Raises ConfigurationError."""
        self._gateway, self._notifier = settings.gateway, notifier
        timeout = max(settings.gateway.clamd.timeout, settings.gateway.http.timeout)
        self._spool = spool_directory(settings, environ)
        self.connection = ScannerConnection(settings.uploads.path, self._spool, timeout)
        fronts = (self._clamd(environ), self._http(environ))
        self.fronts = [front for front in fronts if front.sockets.is_configured]
        self.connection.fronts = lambda: [front.report() for front in self.fronts]

    def _clamd(self, environ: Mapping[str, str]) -> SupervisedFront:
        settings = self._gateway.clamd
        checks, counters = self._checks("clamd", settings.timeout)
        front = build_clamd(checks, self._gateway)
        sockets = FrontSockets.from_settings("clamd", settings, inherited_sockets(environ, "clamd"))
        refuses = settings.on_outage is OutageReply.REFUSE

        def faults() -> FrontFaults:
            own = front.counters
            totals = own.connections, own.faults, own.timeouts, own.refused
            return FrontFaults(*totals, own.upstream_failures, own.cut_streams)

        return SupervisedFront(
            "clamd", front, sockets, counters, refuses_on_outage=refuses, faults=faults
        )

    def _http(self, environ: Mapping[str, str]) -> SupervisedFront:
        settings = self._gateway.http
        checks, counters = self._checks("http", settings.timeout)
        front = build_http(checks, self._gateway)
        sockets = FrontSockets.from_settings("http", settings, inherited_sockets(environ, "http"))
        return SupervisedFront("http", front, sockets, counters, refuses_on_outage=False)

    def _checks(self, name: str, timeout: float) -> tuple[ContentChecks, CheckCounters]:
        counters = CheckCounters(name)
        checks = ScannerChecks(self.connection, timeout, counters)
        return UnwrappingChecks(checks, timeout=timeout), counters

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP.  Raises ConfigurationError."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        watching = asyncio.create_task(self._watch())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching  # raises what ended it
        finally:
            self._notifier.stopping()
            for task in (watching, stopping):
                task.cancel()
            await asyncio.gather(*(front.close() for front in self.fronts))
            await self.connection.close()

    async def _watch(self) -> None:
        """Open and close the fronts as the scanner comes and goes, and report to systemd."""
        first, alive = True, asyncio.create_task(self._keep_alive())
        try:
            while True:
                # A scanner that restarts is waited for, so that the first answer may take long.
                state = ScannerState() if first else await self.connection.state()
                for front in self.fronts:
                    await front.apply(able=state.able, reason=state.problem)
                if first:
                    self._notifier.ready()
                self._notifier.status(self._summary(state))
                if not first:
                    await asyncio.sleep(WATCH_INTERVAL)
                first = False
        finally:
            alive.cancel()

    async def _keep_alive(self) -> None:
        while True:
            self._notifier.keep_alive()
            await asyncio.sleep(WATCH_INTERVAL)

    def _summary(self, state: ScannerState) -> str:
        if not state.able:
            return f"nothing can be checked: {state.problem}"
        return ", ".join(f"{f.name}: {f.front.connection_count} connections" for f in self.fronts)


def build_clamd(checks: ContentChecks, gateway: GatewaySettings) -> ClamdFront:
    """Return the server that speaks clamd's protocol."""
    return ClamdFront(checks, gateway.clamd, gateway.max_connections)


def build_http(checks: ContentChecks, gateway: GatewaySettings) -> Front:
    """Return the server of the HTTP API."""
    from hashwacht.gateway.http.http_server import HttpFront

    return HttpFront(checks, gateway.http, gateway.max_connections)


def spool_directory(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Return where contents are spooled.  Raises ConfigurationError if that is impossible."""
    cache = environ.get("CACHE_DIRECTORY", "").split(":")[0]
    directory = settings.gateway.spool or Path(cache or tempfile.gettempdir())
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the gateway cannot create files in {directory}",
            advice="Set gateway.spool to a directory that the gateway's user may write to.",
        )
    return directory


def gateway_process(
    settings: Settings, environ: Mapping[str, str], notifier: SystemdNotifier
) -> None:
    """Run the gateway until it is stopped.  Raises ConfigurationError."""
    if not settings.gateway.enabled:
        raise ConfigurationError(
            "the gateway is not enabled", advice="Set gateway.enabled = true in the configuration."
        )

    # A client decides what it logs; what follows from a damaged form is logged by the checks.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

    async def run() -> None:
        await GatewayProcess(settings, environ, notifier).run()

    asyncio.run(run())

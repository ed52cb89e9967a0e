"""The courier's process: credentials, services and channels on one side, a socket on the other.

It reads its configuration once.  A reload is an end: whoever started it starts it anew, and the
socket, which is theirs, keeps what is asked meanwhile.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from hashwacht import bootstrap
from hashwacht.courier.channels import build_channel
from hashwacht.courier.handler import RequestHandler
from hashwacht.courier.lazy_channel import LazyChannel, LazyMatcher
from hashwacht.courier.sandbox import enter_sandbox
from hashwacht.courier.server import CourierServer
from hashwacht.matching.services.factory import AnyService, ServiceMatcherFactory, build_protocol
from hashwacht.platform.systemd import SystemdNotifier
from hashwacht.settings import HashlistSettings, Settings

log = logging.getLogger(__name__)


def is_needed(settings: Settings) -> bool:
    """Say if there is anything for a courier to do."""
    return bool(service_names(settings))


def service_names(settings: Settings) -> list[str]:
    """Name the services and channels that it is there for."""
    return [*(each.name for each in _services(settings)), *settings.alerts.channels]


def courier_process(
    settings: Settings,
    environ: Mapping[str, str],
    listening: socket.socket,
    notifier: SystemdNotifier,
    stop: threading.Event,
) -> None:
    """Serve those who may connect to *listening*, until *stop*.

    Everything that needs a file is built first; then all files of customers are locked away,
    before there is a second thread that could keep them, and before anybody is heard.
    """
    desk = build_handler(settings, environ, stop.set)
    try:
        problem = enter_sandbox(_own(settings, environ))
        if problem:
            log.warning("the courier's files are not locked away by Landlock: %s", problem)
        notifier.ready()
        CourierServer(desk, allowed_users(listening)).serve(listening, stop, notifier.keep_alive)
        notifier.stopping()
    finally:
        desk.close()


def build_handler(
    settings: Settings, environ: Mapping[str, str], lost: Callable[[], None] = lambda: None
) -> RequestHandler:
    """Build all services and channels; what cannot be built says so when it is used.

    *lost* is called when one of them can go on in a new process only.
    """
    services = ServiceMatcherFactory(bootstrap.secret_sources(settings, environ))
    matchers = {
        service.name: LazyMatcher(
            service.name,
            protocol.accepts,
            protocol.revision(service.base_url),
            partial(services.build, service),
        )
        for service in _services(settings)
        for protocol in [build_protocol(service)]
    }
    ways = {
        str(channel): LazyChannel(partial(build_channel, channel, settings, environ, lost))
        for channel in settings.alerts.channels
    }
    return RequestHandler(matchers, ways)


def allowed_users(listening: socket.socket) -> frozenset[int]:
    """Say who may connect: ourselves, root, and the owner of the socket, which is the scanner."""
    users = {0, os.geteuid()}
    with suppress(OSError, ValueError):  # it may be out of our sight: then root is the scanner
        users.add(Path(listening.getsockname()).stat().st_uid)
    return frozenset(users)


def _services(settings: Settings) -> list[AnyService]:
    return [each for each in settings.matchers if not isinstance(each, HashlistSettings)]


def _own(settings: Settings, environ: Mapping[str, str]) -> list[Path]:
    """Name the files of our own that may be read later: credentials and certificates."""
    alerts = settings.alerts
    found = [settings.credentials.directory, alerts.mail.ca_file, alerts.webhook.ca_file]
    for each in _services(settings):
        found += (each.ca_file, each.client_cert, each.client_key)
    if given := environ.get("CREDENTIALS_DIRECTORY"):
        found.append(Path(given))
    return [each for each in found if each is not None]

"""The courier process: it holds credentials, calls services, and sends alerts for the scanner.

It reads its configuration once.  A reload ends it: the supervisor starts it again, and the
supervisor's socket queues the requests in between.

Its sandbox keeps it from opening customers' files, even if it is taken over.  It needs Python and
its libraries, certificates and name resolution; it reads credentials again when one is added later.
Landlock forbids everything else for good.  Under systemd, a root file system without customers'
files does the same.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from hashwacht import bootstrap
from hashwacht.courier.assignment import services
from hashwacht.courier.channels import LazyChannel, LazyMatcher, build_channel
from hashwacht.courier.list_downloads import ListDownloads
from hashwacht.courier.server import CourierServer, RequestHandler
from hashwacht.matching.services.service_matchers import build_protocol, build_service_matcher
from hashwacht.platform import landlock
from hashwacht.platform.process import forbid_dumps, forbid_new_privileges, layer_status
from hashwacht.platform.systemd import SystemdNotifier
from hashwacht.settings import Settings

log = logging.getLogger(__name__)

SYSTEM_PATHS = (
    *("/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64"),
    *("/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/zoneinfo"),
    *("/usr/share/pki", "/usr/local/lib", "/run/systemd/resolve", "/run/NetworkManager"),
    *("/run/resolvconf", "/run/nscd", "/dev/null", "/dev/urandom", "/proc/sys"),
)
"""Libraries, certificates, name resolution; directories, as files are replaced by rename."""


def courier_process(
    settings: Settings,
    environ: Mapping[str, str],
    listening: socket.socket,
    notifier: SystemdNotifier,
    stop: threading.Event,
) -> None:
    """Serve permitted users on *listening* until *stop*.

    Everything that needs a file is built first.  Then the sandbox hides all customers' files,
    before there is a second thread that would keep them, and before the first request.
    """
    handler = build_handler(settings, environ, stop.set)
    try:
        if problem := enter_sandbox(_own(settings, environ)):
            log.warning("Landlock is not active for the courier: %s", problem)
        notifier.ready()
        CourierServer(handler, allowed_users(listening)).serve(listening, stop, notifier.keep_alive)
        notifier.stopping()
    finally:
        handler.close()


def build_handler(
    settings: Settings, environ: Mapping[str, str], lost: Callable[[], None] = lambda: None
) -> RequestHandler:
    """Build all services and channels; one that cannot be built reports that in its replies.

    *lost* is called when one of them needs a new process to continue.
    """
    sources = bootstrap.secret_sources(settings, environ)
    matchers = {
        service.name: LazyMatcher(
            service.name,
            protocol.accepts,
            protocol.revision(service.base_url),
            partial(build_service_matcher, service, sources),
        )
        for service in services(settings)
        for protocol in [build_protocol(service)]
    }
    channels = {
        str(channel): LazyChannel(partial(build_channel, channel, settings, environ, lost))
        for channel in settings.alerts.channels
    }
    lists = {source.name: ListDownloads(source, sources) for source in settings.lists if source.url}
    return RequestHandler(matchers, channels, lists)


def allowed_users(listening: socket.socket) -> frozenset[int]:
    """Return who may connect: this user, root, and the socket's owner, which is the scanner."""
    users = {0, os.geteuid()}
    with suppress(OSError, ValueError):  # it may be invisible here: then root is the scanner
        users.add(Path(listening.getsockname()).stat().st_uid)
    return frozenset(users)


def enter_sandbox(own: Iterable[Path]) -> str:
    """Make all files inaccessible but the system's and *own*; return why not, "" if that succeeded.

    There must be no other thread yet.  Afterwards other processes of the same user cannot read
    the memory, which holds credentials.
    """
    forbid_new_privileges()
    forbid_dumps()
    paths = (*map(Path, SYSTEM_PATHS), *_python(), *_certificates(), *own)
    return layer_status(lambda: landlock.restrict_to(paths))


def _python() -> Iterable[Path]:
    schemes = ("stdlib", "platstdlib", "purelib", "platlib")
    paths = {*map(sysconfig.get_path, schemes), *sys.path}
    return [Path(path) for path in paths if path and Path(path).is_absolute()]


def _certificates() -> Iterable[Path]:
    """Return where OpenSSL looks for authorities: its default or its environment variables."""
    paths = ssl.get_default_verify_paths()
    return [Path(path) for path in (paths.cafile, paths.capath) if path]


def _own(settings: Settings, environ: Mapping[str, str]) -> list[Path]:
    """Return the courier's files that may be read later: credentials and certificates."""
    alerts = settings.alerts
    paths = [settings.credentials.directory, alerts.mail.ca_file, alerts.webhook.ca_file]
    for service in services(settings):
        paths += (service.ca_file, service.client_cert, service.client_key)
    paths += [source.ca_file for source in settings.lists]
    if directory := environ.get("CREDENTIALS_DIRECTORY"):
        paths.append(Path(directory))
    return [path for path in paths if path is not None]

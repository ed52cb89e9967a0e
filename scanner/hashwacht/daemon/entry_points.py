"""The entry points of the daemon's processes, and of the supervisor that runs all of them."""

from __future__ import annotations

import grp
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from hashwacht import bootstrap
from hashwacht.core.errors import ConfigurationError, ExitCode, StorageBusy
from hashwacht.courier.assignment import is_needed
from hashwacht.daemon.logs import configure_logging
from hashwacht.daemon.supervisor import ChildSpec, RestartBackoff, Supervisor
from hashwacht.ipc.sockets import listen
from hashwacht.platform.locks import FileLock
from hashwacht.platform.network import leave_network
from hashwacht.platform.systemd import SystemdNotifier, inherited_sockets, stored_descriptors
from hashwacht.settings import Configuration, Settings, WatchKind
from hashwacht.settings.gateway import uses_network

_log = logging.getLogger(__name__)

RESTART_BACKOFF = RestartBackoff()

_RUNTIME_ADVICE = "Set daemon.runtime_directory to a directory that this user may write to."
_UPLOADS_ADVICE = (
    "Under systemd run `hashwacht units --write`; elsewhere set uploads.socket to a path where this"
    " user may create a socket, and uploads.group to one of the user's groups."
)


class DaemonRunner:
    """Runs one process of the daemon, or all of them.

    *load* returns the configuration and is called again for each reload.
    """

    def __init__(
        self,
        load: Callable[[], Configuration],
        environ: Mapping[str, str],
        *,
        verbose: bool = False,
    ) -> None:
        self._load, self._environ, self._verbose = load, environ, verbose

    def run_scanner(self, listen_fd: int | None = None) -> ExitCode:
        """Run the scanner; it gives up its network access before anything else."""
        layers = leave_network()
        self._configure_logging("scanner")
        if all(layers.values()):
            problems = "; ".join(map(": ".join, layers.items()))
            _log.warning("the scanner keeps its network access: %s", problems)
        from hashwacht.daemon.scanner_process import scanner_process

        listeners = self._upload_listeners(listen_fd)
        with _signal_events() as (stop, reload):
            notifier = self._notifier()
            scanner_process(
                self._load, self._environ, notifier, stop, reload, upload_listeners=listeners
            )
        return ExitCode.OK

    def run_courier(self, listen_fd: int | None) -> ExitCode:
        """Run the courier.  It exits for a reload, and is restarted."""
        self._configure_logging("courier")
        from hashwacht.courier.process import courier_process

        settings = self._load().settings
        listener = self._listener("courier", listen_fd, bootstrap.courier_socket(settings))
        with listener, _signal_events(reload_is_stop=True) as (stop, _):
            courier_process(settings, self._environ, listener, self._notifier(), stop)
        # Pending requests, such as one to a mail server that does not answer, are retried later.
        logging.shutdown()
        os._exit(ExitCode.OK)

    def run_gateway(self) -> ExitCode:
        """Run the gateway.  It exits for a reload, and is restarted."""
        settings = self._load().settings
        if not uses_network(settings.gateway):
            leave_network()
        self._configure_logging("gateway")
        from hashwacht.gateway.process import gateway_process

        gateway_process(settings, self._environ, self._notifier())
        # Checks under way have no client any more; their threads are not waited for.
        logging.shutdown()
        os._exit(ExitCode.OK)

    def run_watcher(self, listen_fd: int | None) -> ExitCode:
        """Run the watcher."""
        self._configure_logging("watcher")
        from hashwacht.watch.fanotify_daemon import serve
        from hashwacht.watch.fanotify_handover import PREFIX

        stored = stored_descriptors(self._environ, PREFIX)
        path = self._load().settings.daemon.runtime_path / "watcher.sock"
        with self._listener("watcher", listen_fd, path) as listener, _signal_events() as (stop, _):
            notifier = self._notifier()
            serve(
                listener.detach(),
                stop,
                ready=notifier.ready,
                alive=notifier.keep_alive,
                store=notifier if notifier.is_connected else None,
                stored=stored,
            )
        return ExitCode.OK

    def run_all(
        self,
        arguments: tuple[str, ...],
        report: Callable[[str], None],
        backoff: RestartBackoff = RESTART_BACKOFF,
    ) -> ExitCode:
        """Run all processes that the configuration needs as children, with *arguments*.

        *report* prints one line for the user.  Raises ConfigurationError without a root,
        StorageBusy if another daemon runs.
        """
        settings = _require_roots(self._load().settings)
        runtime, uploads = settings.daemon.runtime_path, settings.uploads
        with ExitStack() as stack:
            stack.enter_context(_single_instance(runtime))
            upload_listener: socket.socket | None = None
            if settings.accepts_uploads:
                group = _group_id(uploads.group)
                upload_listener = stack.enter_context(_temporary_socket(uploads.path, group))
            listeners: dict[str, socket.socket] = {}

            def specs() -> list[ChildSpec]:
                current = self._load().settings
                names = ["courier"] if is_needed(current) else []
                if current.daemon.watch_method is WatchKind.FANOTIFY:
                    names.append("watcher")
                children = []
                for name in names:
                    if name not in listeners:
                        path = runtime / f"{name}.sock"
                        listeners[name] = stack.enter_context(_temporary_socket(path))
                    children.append(ChildSpec(name, (*arguments, name), listeners[name]))
                if current.gateway.enabled:
                    children.append(ChildSpec("gateway", (*arguments, "gateway")))
                return [*children, ChildSpec("scanner", (*arguments, "scanner"), upload_listener)]

            report(f"watching {', '.join(root.name for root in settings.roots)}; press ^C to stop")
            return Supervisor(specs, self._environ, report, backoff).run()

    def _listener(self, name: str, fd: int | None, path: Path) -> socket.socket:
        """Return a process's socket: from the supervisor, from systemd, or a new one at *path*."""
        if fd is not None:
            return _adopt(fd)
        inherited = inherited_sockets(self._environ, name)
        return inherited[0] if inherited else _listen(path)

    def _upload_listeners(self, fd: int | None) -> list[socket.socket]:
        if fd is not None:
            return [_adopt(fd)]
        inherited = inherited_sockets(self._environ, "uploads")
        settings = self._load().settings
        uploads = settings.uploads
        if inherited or not settings.accepts_uploads:
            return inherited
        return [_listen(uploads.path, _group_id(uploads.group), _UPLOADS_ADVICE)]

    def _configure_logging(self, name: str) -> None:
        configure_logging(f"hashwacht-{name}", self._environ, verbose=self._verbose)

    def _notifier(self) -> SystemdNotifier:
        return SystemdNotifier.from_environment(self._environ)


def _require_roots(settings: Settings) -> Settings:
    if not settings.roots:
        raise ConfigurationError(
            "there is no directory to watch",
            advice="Give --root DIRECTORY, or configure one as [roots.NAME].",
        )
    return settings


def _adopt(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


def _group_id(name: str) -> int | None:
    """Return the id of a group, None for an empty name.  Raises ConfigurationError."""
    try:
        return grp.getgrnam(name).gr_gid if name else None
    except KeyError:
        raise ConfigurationError(
            f"uploads.group: there is no group {name}",
            advice="Set it to the group of the web application, such as www-data.",
        ) from None


def _listen(path: Path, group: int | None = None, advice: str = _RUNTIME_ADVICE) -> socket.socket:
    try:
        return listen(path, group)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen at {path}: {error.strerror or error}", advice=advice
        ) from error


@contextmanager
def _temporary_socket(path: Path, group: int | None = None) -> Iterator[socket.socket]:
    """Yield a listening socket at *path*, which is removed at the end."""
    with _listen(path, group) as listener:
        yield listener
        with suppress(OSError):
            path.unlink()


@contextmanager
def _single_instance(runtime: Path) -> Iterator[None]:
    """Hold the lock of this runtime directory.  Raises StorageBusy, ConfigurationError."""
    try:
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock.acquire(runtime / "daemon.lock")
    except OSError as error:
        raise ConfigurationError(f"{runtime}: {error.strerror}", advice=_RUNTIME_ADVICE) from error
    if lock is None:
        raise StorageBusy(
            f"another daemon is running with {runtime}",
            advice="Stop it first, or set another daemon.runtime_directory for this one.",
        )
    with lock:
        yield


@contextmanager
def _signal_events(
    *, reload_is_stop: bool = False
) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Yield an event that SIGTERM and SIGINT set, and one that SIGHUP sets."""
    stop, reload = threading.Event(), threading.Event()
    events = {signal.SIGTERM: stop, signal.SIGINT: stop}
    events[signal.SIGHUP] = stop if reload_is_stop else reload

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # signal's interface
        events[signal.Signals(number)].set()

    handlers = {number: signal.signal(number, handle) for number in events}
    try:
        yield stop, reload
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

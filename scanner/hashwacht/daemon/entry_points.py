"""How each part of the daemon is run, and how all of them are run at once."""

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
from hashwacht.courier import process
from hashwacht.daemon.logs import configure_logging
from hashwacht.daemon.supervisor import ChildSpec, RestartBackoff, Supervisor
from hashwacht.ipc.sockets import listen
from hashwacht.platform.locks import FileLock
from hashwacht.platform.network import leave_network
from hashwacht.platform.process import terminate_with_parent
from hashwacht.platform.systemd import SystemdNotifier, inherited_sockets
from hashwacht.settings import Configuration, UploadMode, WatchKind

log = logging.getLogger(__name__)

PAUSES = RestartBackoff()
"""What a part that fails over and over has to wait for."""


class DaemonRunner:
    """Runs parts with the configuration that *configuration* reads, each time anew."""

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        environ: Mapping[str, str],
        *,
        verbose: bool = False,
    ) -> None:
        """*environ* is that of this process."""
        self._configuration = configuration
        self._environ = environ
        self._verbose = verbose

    def scanner(self, listen_fd: int | None = None) -> ExitCode:
        """Run the scanner, which gives up the network before it does anything else."""
        layers = leave_network()
        self._log_as("scanner")
        if all(layers.values()):
            log.warning(
                "the scanner keeps its network: %s", "; ".join(map(": ".join, layers.items()))
            )
        from hashwacht.daemon.scanner_process import scanner_process

        handed = self._for_uploads(listen_fd)
        with _wishes() as (stop, reload):
            scanner_process(
                self._configuration,
                self._environ,
                self._notifier(),
                stop,
                reload,
                upload_listeners=handed,
            )
        return ExitCode.OK

    def courier(self, listen_fd: int | None) -> ExitCode:
        """Run the courier.  A reload is an end: it is started anew."""
        self._log_as("courier")
        settings = self._configuration().settings
        listening = self._listening("courier", listen_fd, bootstrap.courier_socket(settings))
        with listening, _wishes(reload_is_stop=True) as (stop, _):
            process.courier_process(settings, self._environ, listening, self._notifier(), stop)
        # What is still under way, such as a mail server that says nothing, was told to wait.
        logging.shutdown()
        os._exit(ExitCode.OK)

    def watcher(self, listen_fd: int | None) -> ExitCode:
        """Run the watcher."""
        self._log_as("watcher")
        from hashwacht.watch.fanotify_daemon import serve

        settings = self._configuration().settings
        path = settings.daemon.runtime_path / "watcher.sock"
        with self._listening("watcher", listen_fd, path) as listening, _wishes() as (stop, _):
            notifier = self._notifier()
            serve(listening.detach(), stop, ready=notifier.ready, alive=notifier.keep_alive)
        return ExitCode.OK

    def all(
        self,
        arguments: tuple[str, ...],
        say: Callable[[str], None],
        pauses: RestartBackoff = PAUSES,
    ) -> ExitCode:
        """Run all parts that the configuration needs, as children that are called by *arguments*.

        Raises ConfigurationError without a root, StorageBusy if it is running already.
        """
        settings = self._configuration().settings
        if not settings.roots:
            raise ConfigurationError(
                "there is no directory to watch",
                advice="Give --root DIRECTORY, or configure one as [roots.NAME].",
            )
        with ExitStack() as stack:
            runtime = settings.daemon.runtime_path
            stack.enter_context(_only_one(runtime))
            sockets: dict[str, socket.socket] = {}
            uploads = settings.uploads
            of_scanner: socket.socket | None = None
            if uploads.mode is UploadMode.DAEMON:
                of_scanner = stack.enter_context(_socket(uploads.path, _group(uploads.group)))

            def parts() -> list[ChildSpec]:
                chosen = self._configuration().settings
                wanted = {
                    "courier": process.is_needed(chosen),
                    "watcher": chosen.daemon.watch_method is WatchKind.FANOTIFY,
                }
                made = []
                for name in (name for name, is_wanted in wanted.items() if is_wanted):
                    if name not in sockets:
                        sockets[name] = stack.enter_context(_socket(runtime / f"{name}.sock"))
                    made.append(ChildSpec(name, (*arguments, name), sockets[name]))
                return [*made, ChildSpec("scanner", (*arguments, "scanner"), of_scanner)]

            names = ", ".join(root.name for root in settings.roots)
            say(f"watching {names}; ^C stops")
            return Supervisor(parts, self._environ, say, pauses).run()

    @staticmethod
    def end_with(parent: int) -> None:
        """Be told to stop when the supervisor is gone, however that happened."""
        terminate_with_parent(parent)

    def _listening(self, name: str, given: int | None, path: Path) -> socket.socket:
        """Give the socket of a part: from the supervisor, from systemd, or made here."""
        if given is not None:
            os.set_inheritable(given, False)
            return socket.socket(fileno=given)
        handed = inherited_sockets(self._environ, name)
        return handed[0] if handed else _listen(path)

    def _for_uploads(self, given: int | None) -> list[socket.socket]:
        """Give the sockets on which web applications hand uploads over."""
        if given is not None:
            os.set_inheritable(given, False)
            return [socket.socket(fileno=given)]
        uploads = self._configuration().settings.uploads
        handed = inherited_sockets(self._environ, "uploads")
        if handed or uploads.mode is UploadMode.PROCESS:
            return handed
        return [_listen(uploads.path, _group(uploads.group), _FOR_UPLOADS)]

    def _log_as(self, name: str) -> None:
        configure_logging(f"hashwacht-{name}", self._environ, verbose=self._verbose)

    def _notifier(self) -> SystemdNotifier:
        return SystemdNotifier.from_environment(self._environ)


_FOR_UPLOADS = (
    "Under systemd run `hashwacht units --write`; elsewhere make uploads.socket a path where this"
    " user may make a socket, and uploads.group one of its groups."
)


def _group(name: str) -> int | None:
    """Give the number of a group; None for no name.  Raises ConfigurationError."""
    try:
        return grp.getgrnam(name).gr_gid if name else None
    except KeyError:
        raise ConfigurationError(
            f"uploads.group: there is no group {name}",
            advice="Name the group of the web application, such as www-data.",
        ) from None


def _listen(
    path: Path,
    group: int | None = None,
    advice: str = "Make daemon.runtime_directory a directory that this user may write to.",
) -> socket.socket:
    try:
        return listen(path, group)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot listen: {error.strerror or error}",
            advice=advice,
        ) from error


@contextmanager
def _socket(path: Path, group: int | None = None) -> Iterator[socket.socket]:
    """Listen at *path*, which goes in the end."""
    with _listen(path, group) as listening:
        yield listening
        with suppress(OSError):
            path.unlink()


@contextmanager
def _only_one(runtime: Path) -> Iterator[None]:
    """Be the only daemon with this runtime directory.  Raises StorageBusy, ConfigurationError."""
    try:
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock.acquire(runtime / "daemon.lock")
    except OSError as error:
        raise ConfigurationError(
            f"{runtime}: {error.strerror}",
            advice="Make daemon.runtime_directory a directory that this user may write to.",
        ) from error
    if lock is None:
        raise StorageBusy(
            f"another daemon is running with {runtime}",
            advice="Stop it first, or give this one another daemon.runtime_directory.",
        )
    with lock:
        yield


@contextmanager
def _wishes(*, reload_is_stop: bool = False) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Give the events that SIGTERM or SIGINT, and SIGHUP, set."""
    stop, reload = threading.Event(), threading.Event()
    events = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
    if reload_is_stop:
        events[signal.SIGHUP] = stop

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # as signal calls it
        events[signal.Signals(number)].set()

    former = {number: signal.signal(number, handle) for number in events}
    try:
        yield stop, reload
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)

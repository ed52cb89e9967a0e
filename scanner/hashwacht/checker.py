"""The public face for other people's programs: give it a file or a stream, get what is known.

::

    checker = Checker.configured()
    checked = checker.scan_file("/srv/incoming/upload.jpg")
    if checked.outcome is Outcome.MATCH: ...
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

from hashwacht.core.errors import HashwachtError
from hashwacht.core.upload_context import UploadContext
from hashwacht.settings import Settings, UploadMode, load
from hashwacht.uploads.backend import CheckBackend, CheckResult
from hashwacht.uploads.executor import BackendFactory, CheckExecutor
from hashwacht.uploads.stream import UploadStream

_log = logging.getLogger(__name__)

MAX_PENDING = 64
"""Contents that may wait for a thread: beyond that nobody would wait for them either."""

DAEMON_THREADS = 32
"""Contents that may be with the daemon at a time: a thread that waits for it costs next to
nothing, and the daemon bounds its own work."""

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Checker:
    """Gives verdicts on files.  Thread-safe; opens its workplace when first asked.

    It may be made before a server forks: every process opens a workplace of its own.
    """

    def __init__(
        self,
        opener: BackendFactory,
        *,
        threads: int = 0,
        max_pending: int = MAX_PENDING,
        on_partial_upload: Callable[[str], None] | None = None,
    ) -> None:
        """Work at the place that *opener* opens; *threads* at once (0: one per core).

        Up to *waiting* further contents wait; what comes on top is undetermined at once.
        *noting* takes the notes for ``hashwacht doctor``; it may raise HashwachtError.
        """
        self._noting = on_partial_upload
        self._opener = opener
        self._threads = threads or len(os.sched_getaffinity(0))
        self._waiting = max_pending
        self._lock = threading.Lock()
        self._shift: CheckExecutor | None = None
        self._closed = False
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forked(itself))

    @classmethod
    def configured(cls, file: str | os.PathLike[str] | None = None, *, threads: int = 0) -> Self:
        """Work where the configuration (*file*, else the usual place) says: ``uploads.mode``.

        Reads the configuration now, so that mistakes in it stop the application when it starts:
        raises ConfigurationError.  Workers and matchers begin with the first content.
        """
        chosen = None if file is None else Path(file)
        settings = load(os.environ, uid=os.geteuid(), file=chosen).settings
        if settings.uploads.mode is UploadMode.DAEMON:
            socket = settings.uploads.path
            note = partial(_note_at_daemon, socket)
            return cls(
                lambda: _by_daemon(socket),
                threads=threads or DAEMON_THREADS,
                on_partial_upload=note,
            )
        from hashwacht import bootstrap

        noted = bootstrap.partial_uploads(settings).record
        return cls(lambda: _in_this_process(settings), threads=threads, on_partial_upload=noted)

    def scan_file(
        self, file: str | bytes | os.PathLike[str] | int, context: UploadContext | None = None
    ) -> CheckResult:
        """Give the verdict on a file: a path, or a descriptor open for reading (it stays open).

        Raises OSError if there is no regular file to open; whatever happens later is a verdict.
        """
        if isinstance(file, int):
            return self._submit(os.dup(file), context, private=False).result()
        fd = os.open(file, _FLAGS)
        try:
            regular = stat.S_ISREG(os.fstat(fd).st_mode)
        except BaseException:
            os.close(fd)
            raise
        if not regular:
            os.close(fd)
            raise OSError(0, "not a regular file")
        return self._submit(fd, context, private=False).result()

    def scan_stream(
        self, chunks: Iterable[bytes], context: UploadContext | None = None
    ) -> CheckResult:
        """Give the verdict on what *chunks* yields; it is spooled to an unlinked temporary file.

        Raises OSError if there is no room, and whatever *chunks* raises.
        """
        with self.open_upload() as incoming:
            for chunk in chunks:
                incoming.write(chunk)
            return incoming.finish(context).result()

    def open_upload(self, spool: str | os.PathLike[str] | None = None) -> UploadStream:
        """Begin with a content that comes in by and by; close what you get on every path.

        *spool* is the directory for its unlinked temporary file; None: the system's.
        """
        return UploadStream(self._on_shift(), spool)

    def submit(self, fd: int, context: UploadContext | None = None) -> Future[CheckResult]:
        """Begin with a file that nobody else can write to, such as an unlinked temporary one.

        The descriptor is duplicated: close yours whenever you like.  To cancel the future takes
        back what has not begun.  Raises OSError if there is no descriptor left.
        """
        return self._submit(os.dup(fd), context, private=True)

    def _submit(
        self, fd: int, context: UploadContext | None, *, private: bool
    ) -> Future[CheckResult]:
        """Hand *fd* over to a thread, which closes it."""
        try:
            shift = self._on_shift()
        except BaseException:
            os.close(fd)
            raise
        return shift.submit(fd, lambda place: place.check(fd, context, private=private))

    def _on_shift(self) -> CheckExecutor:
        with self._lock:
            if self._closed:
                raise HashwachtError("the checker is closed", advice="Make a new one.")
            if self._shift is None:
                self._shift = CheckExecutor(self._opener, self._threads, self._waiting)
            return self._shift

    def record_partial_upload(self, protocol: str) -> None:
        """Note that files come in parts by *protocol*, so that ``hashwacht doctor`` tells."""
        if self._noting is None:
            return
        try:
            self._noting(protocol)
        except HashwachtError as error:
            _log.warning("it cannot be noted that files come in parts: %s", error.message)

    def close(self) -> None:
        """End the workers and close matchers and state.  Any number of calls."""
        with self._lock:
            self._closed = True
            shift, self._shift = self._shift, None
        if shift is not None:
            shift.close()

    def reset_after_fork(self) -> None:
        """Begin anew in a forked child: threads and workers belong to the parent."""
        self._lock = threading.Lock()
        self._shift = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _forked(itself: weakref.ref[Checker]) -> None:
    checker = itself()
    if checker is not None:
        checker.reset_after_fork()


def _by_daemon(socket: Path) -> CheckBackend:
    """Leave the work to the daemon: nothing that decodes or asks is imported."""
    from hashwacht.uploads.remote import DaemonBackend

    return DaemonBackend(socket)


def _note_at_daemon(socket: Path, protocol: str) -> None:
    """Tell the daemon, which may take its time, while the request that showed it goes on."""
    from hashwacht.uploads.remote import DaemonBackend, DaemonUnreachable

    def tell() -> None:
        try:
            DaemonBackend(socket).record_partial_upload(protocol)
        except DaemonUnreachable as error:
            _log.warning("the daemon cannot note that files come in parts: %s", error.detail)

    threading.Thread(target=tell, name="hashwacht-note", daemon=True).start()


def _in_this_process(settings: Settings) -> CheckBackend:
    """Build everything in this process.  Raises HashwachtError.

    Somebody waits for an upload: its workers do not give way to everybody as those of a scan do.
    """
    from hashwacht import bootstrap
    from hashwacht.uploads.local import LocalBackend, ResultStorage

    awaited = replace(settings, scan=replace(settings.scan, low_priority=False))
    store = bootstrap.store(awaited)
    try:
        pipeline = bootstrap.pipeline(awaited, os.environ, store.crash_log)
    except BaseException:
        store.close()
        raise
    return LocalBackend(pipeline, ResultStorage(store, bootstrap.uploads(awaited)))

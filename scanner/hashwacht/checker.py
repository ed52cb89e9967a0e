"""The public API for applications: check a file or a stream, and get a verdict.

::

    checker = Checker.configured()
    result = checker.scan_file("/srv/incoming/upload.jpg")
    if result.outcome is Outcome.MATCH: ...
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

from hashwacht.core.errors import ConfigurationError, HashwachtError
from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import UploadContext, client_of
from hashwacht.platform.safe_open import open_regular
from hashwacht.settings import Settings, UploadMode, load
from hashwacht.uploads.backend import CheckBackend, CheckResult
from hashwacht.uploads.executor import (
    BackendFactory,
    CheckExecutor,
    CheckTask,
    UploadStream,
)

__all__ = [
    "CheckBackend",
    "CheckResult",
    "Checker",
    "ConfigurationError",
    "HashwachtError",
    "Match",
    "Outcome",
    "Reason",
    "Signal",
    "UploadContext",
    "UploadStream",
    "Verdict",
]

_log = logging.getLogger(__name__)

MAX_PENDING = 64
"""Files that are checked or wait at a time, at most half of them of one client.  Each has a thread,
unless there are fewer: a waiting thread is cheap, and workers and daemon bound the work."""


class Checker:
    """Checks files against the configured matchers.  Thread-safe.

    The backend (worker processes, or a connection to the daemon) opens with the first file.  A
    checker may be created before a server forks: each process opens a backend of its own.
    """

    def __init__(
        self,
        opener: BackendFactory,
        *,
        threads: int = 0,
        max_pending: int = MAX_PENDING,
        on_partial_upload: Callable[[str], None] | None = None,
    ) -> None:
        """Check with the backend that *opener* opens, in *threads* threads (0: one for each file).

        *max_pending* files may wait besides those that have one of the *threads*.  Of a file over
        the share of its client only the digests are looked up, if they are known.
        *on_partial_upload* records a protocol for ``hashwacht doctor``; it may raise
        HashwachtError.
        """
        self._on_partial_upload = on_partial_upload
        self._opener = opener
        self._threads = threads or max_pending
        self._max_pending = max_pending if threads else 0
        self._lock = threading.Lock()
        self._executor: CheckExecutor | None = None
        self._closed = False
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _reset_in_child(reference))

    @classmethod
    def configured(cls, file: str | os.PathLike[str] | None = None, *, threads: int = 0) -> Self:
        """Return a checker for the configuration in *file*, or in the default location.

        ``uploads.mode`` decides between this process and the daemon.  The configuration is read
        now, so that a mistake stops the application at its start: raises ConfigurationError.
        Workers and matchers start with the first file.
        """
        path = None if file is None else Path(file)
        settings = load(os.environ, uid=os.geteuid(), file=path).settings
        if settings.uploads.mode is UploadMode.DAEMON:
            from hashwacht.uploads.remote import DaemonBackend  # imports nothing that decodes

            socket = settings.uploads.path
            return cls(
                lambda: DaemonBackend(socket),
                threads=threads,
                on_partial_upload=partial(_report_to_daemon, socket),
            )
        from hashwacht import bootstrap

        return cls(
            lambda: _open_local_backend(settings),
            threads=threads,
            on_partial_upload=bootstrap.partial_uploads(settings).record,
        )

    def scan_file(
        self, file: str | bytes | os.PathLike[str] | int, context: UploadContext | None = None
    ) -> CheckResult:
        """Check a file: a path, or a descriptor open for reading, which stays open.

        Raises OSError if it cannot be opened or is not a regular file; any later failure is an
        undetermined result.
        """
        if isinstance(file, int):
            return self._submit(os.dup(file), context, private=False).result()
        return self._submit(open_regular(file), context, private=False).result()

    def scan_stream(
        self, chunks: Iterable[bytes], context: UploadContext | None = None
    ) -> CheckResult:
        """Check the content that *chunks* yields, spooled to an unlinked temporary file.

        Raises OSError if the disk is full, and whatever *chunks* raises.
        """
        with self.open_upload() as upload:
            for chunk in chunks:
                upload.write(chunk)
            return upload.finish(context).result()

    def open_upload(self, spool: str | os.PathLike[str] | None = None) -> UploadStream:
        """Open a stream for a content that arrives in pieces; close it on every path.

        *spool* is the directory of its unlinked temporary file, by default the system's.
        """
        return UploadStream(self._open_executor(), spool)

    def submit(self, fd: int, context: UploadContext | None = None) -> Future[CheckResult]:
        """Start the check of a file that no other process can write to, such as an unlinked one.

        The descriptor is duplicated and may be closed at any time.  Cancelling the future drops
        a check that has not started.  Raises OSError if no descriptor is left.
        """
        return self._submit(os.dup(fd), context, private=True)

    def _submit(
        self, fd: int, context: UploadContext | None, *, private: bool
    ) -> Future[CheckResult]:
        """Pass *fd* to a thread, which closes it."""
        try:
            executor = self._open_executor()
        except BaseException:
            os.close(fd)
            raise

        def check(backend: CheckBackend) -> CheckResult:
            return backend.check(fd, context, private=private)

        return executor.submit(CheckTask(client_of(context), fd, check))

    def _open_executor(self) -> CheckExecutor:
        with self._lock:
            if self._closed:
                raise HashwachtError("the checker is closed", advice="Create a new one.")
            if self._executor is None:
                self._executor = CheckExecutor(self._opener, self._threads, self._max_pending)
            return self._executor

    def record_partial_upload(self, protocol: str) -> None:
        """Record that files arrive in parts by *protocol*, for ``hashwacht doctor``."""
        try:
            if self._on_partial_upload is not None:
                self._on_partial_upload(protocol)
        except HashwachtError as error:
            _log.warning("cannot record that files arrive in parts: %s", error.message)

    def close(self) -> None:
        """Stop the workers and close the backend.  May be called more than once."""
        with self._lock:
            self._closed = True
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.close()

    def reset_after_fork(self) -> None:
        """Forget threads and workers in a forked child: they belong to the parent."""
        self._lock = threading.Lock()
        self._executor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reset_in_child(reference: weakref.ref[Checker]) -> None:
    checker = reference()
    if checker is not None:
        checker.reset_after_fork()


def _report_to_daemon(socket: Path, protocol: str) -> None:
    """Report a partial upload to the daemon in a thread: the request need not wait for it."""
    from hashwacht.uploads.remote import DaemonBackend, DaemonUnreachable

    def report() -> None:
        try:
            DaemonBackend(socket).record_partial_upload(protocol)
        except DaemonUnreachable as error:
            _log.warning("cannot report to the daemon that files arrive in parts: %s", error.detail)

    threading.Thread(target=report, name="hashwacht-report", daemon=True).start()


def _open_local_backend(settings: Settings) -> CheckBackend:
    """Build everything in this process.  Raises HashwachtError.

    A request waits for the verdict, so the workers run at normal priority, unlike those of a scan.
    """
    from hashwacht import bootstrap
    from hashwacht.uploads.local import LocalBackend, ResultStorage

    foreground = replace(settings, scan=replace(settings.scan, low_priority=False))
    store = bootstrap.store(foreground)
    try:
        pipeline = bootstrap.pipeline(foreground, os.environ, store.crash_log)
    except BaseException:
        store.close()
        raise
    return LocalBackend(pipeline, ResultStorage(store, bootstrap.upload_quota(foreground)))

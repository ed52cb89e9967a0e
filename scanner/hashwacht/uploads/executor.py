"""The threads of one process that check uploads, and one upload as it arrives.

An upload arrives chunk by chunk: it is digested on the way and spooled if it may be a picture.
Its file is unlinked before it holds anything, so it ends with its descriptor, whatever happens to
this process.  In memory is at most the beginning that decides whether there is a file: 64 KiB and
what arrived with it.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Self

from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import StreamHasher
from hashwacht.core.types import Reason
from hashwacht.core.upload_context import UploadContext
from hashwacht.uploads.backend import (
    CheckBackend,
    CheckResult,
    StreamingBackend,
    undetermined_result,
)

BackendFactory = Callable[[], CheckBackend]
Task = Callable[[CheckBackend], CheckResult]


class CheckExecutor:
    """Threads, a bounded queue, and one backend, which the first task opens.  Thread-safe."""

    def __init__(self, factory: BackendFactory, threads: int, max_pending: int) -> None:
        """Run *threads* tasks at a time; up to *max_pending* more wait."""
        self._factory = factory
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hashwacht")
        self._slots = threading.BoundedSemaphore(threads + max_pending)
        self._lock = threading.Lock()
        self._backend: CheckBackend | None = None
        self._warm_backend: CheckBackend | None = None

    def open_stream(self) -> StreamHasher | None:
        """Return a hasher for an upload that is still arriving; None if it must be spooled.

        Never waits: the backend streams once a first task has warmed it up.
        """
        backend = self._warm_backend
        if not isinstance(backend, StreamingBackend):
            return None
        try:
            return backend.open_stream()
        except HashwachtError:
            return None  # the task meets the error again and reports it

    def submit(self, fd: int | None, task: Task) -> Future[CheckResult]:
        """Run *task* in a thread, then close *fd*; a full queue makes the result undetermined."""
        if not self._slots.acquire(blocking=False):
            _close(fd)
            full: Future[CheckResult] = Future()
            full.set_result(undetermined_result(Reason.OVER_LIMIT, "too many uploads are waiting"))
            return full
        try:
            future = self._pool.submit(self._run, fd, task)
        except BaseException:
            self._release(fd)
            raise
        future.add_done_callback(lambda ended: self._release(fd) if ended.cancelled() else None)
        return future

    def _run(self, fd: int | None, task: Task) -> CheckResult:
        try:
            backend = self._open_backend()
            result = task(backend)
            self._warm_up(backend)
        except HashwachtError as error:
            return undetermined_result(Reason.UNANSWERED, f"{error.message} {error.advice}".strip())
        finally:
            self._release(fd)
        return result

    def _release(self, fd: int | None) -> None:
        _close(fd)
        self._slots.release()

    def _warm_up(self, backend: CheckBackend) -> None:
        """Start what the first stream needs here, where waiting does no harm."""
        if self._warm_backend is None:
            if isinstance(backend, StreamingBackend):
                backend.open_stream()
            self._warm_backend = backend

    def _open_backend(self) -> CheckBackend:
        with self._lock:
            if self._backend is None:
                self._backend = self._factory()
            return self._backend

    def close(self) -> None:
        """Finish the running tasks and cancel the others."""
        self._pool.shutdown(cancel_futures=True)
        if self._backend is not None:
            self._backend.close()


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)


class UploadStream:
    """``write`` the chunks, ``finish`` for the verdict, ``close`` on every path.

    Not thread-safe.
    """

    def __init__(self, executor: CheckExecutor, spool: str | os.PathLike[str] | None) -> None:
        """Check with *executor*; a file is created, in the directory *spool*, when needed."""
        self._executor, self._directory = executor, spool
        self._hasher = executor.open_stream()
        self._undecided: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Add the next bytes.  Raises OSError if there is no space left."""
        self.size += len(chunk)
        self._keep(chunk, keep=True if self._hasher is None else self._hasher.update(chunk))

    def _keep(self, chunk: bytes, *, keep: bool | None) -> None:
        """Spool what is needed for pictures; hold it in memory while that is undecided (None)."""
        if keep is None:
            self._undecided.append(chunk)
            return
        undecided, self._undecided = self._undecided, []
        if keep:
            for each in (*undecided, chunk):
                self._spool(each)
        elif self._file is not None:
            self.close()

    def _spool(self, chunk: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._directory)  # noqa: SIM115  # closed by close()
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]

    def finish(self, context: UploadContext | None = None) -> Future[CheckResult]:
        """End the upload; the future returns the verdict, after ``close`` as well.

        Cancelling the future withdraws a check that has not begun.  Raises OSError if there is
        no space or no descriptor left.
        """
        hasher = self._hasher
        self._keep(b"", keep=True if hasher is None else hasher.finish())
        fd = None if self._file is None else os.dup(self._file.fileno())

        def check(backend: CheckBackend) -> CheckResult:
            if hasher is None:
                assert fd is not None
                return backend.check(fd, context, private=True)
            assert isinstance(backend, StreamingBackend)  # it opened the stream
            return backend.check_stream(hasher, fd, context)

        return self._executor.submit(fd, check)

    def close(self) -> None:
        """Release the file.  Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

"""The threads of one process that check uploads, and one upload as it arrives.

An upload arrives chunk by chunk: it is digested on the way and spooled if it may be a picture.
Its file is unlinked before it holds anything, so it ends with its descriptor, whatever happens to
this process.  In memory is at most the beginning that decides whether there is a file: 64 KiB and
what arrived with it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Self

from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import StreamHasher
from hashwacht.core.types import Reason
from hashwacht.core.upload_context import UploadContext, client_of
from hashwacht.uploads.backend import (
    CheckBackend,
    CheckResult,
    StreamingBackend,
    undetermined_result,
)
from hashwacht.uploads.fair_share import FairShare
from hashwacht.uploads.spool import ContentSpool

BackendFactory = Callable[[], CheckBackend]
Task = Callable[[CheckBackend], CheckResult]

_CLOSE_TIMEOUT, _CLOSE_TICK = 30.0, 0.02
"""Seconds that ``close`` waits for running tasks, and between its looks at them."""

MAX_PENDING_DIGESTS = 512
"""Uploads over the share of their client whose digests may wait to be looked up."""

DIGEST_THREADS = 4
"""Threads for them: one slow service must not keep all of them."""

_OVERLOADED = "too many uploads of this client are waiting; it has to send them more slowly"


@dataclass(frozen=True, slots=True)
class CheckTask:
    """The check of one upload of *client*; *fd* belongs to the task, which closes it.

    *run* checks everything, *run_digests* (None: impossible) only what costs little.
    """

    client: str
    fd: int | None
    run: Task
    run_digests: Task | None = None


class CheckExecutor:
    """Threads, a bounded share of them for each client, and one backend.  Thread-safe.

    The threads mostly wait for workers.  An upload over the share of its client is not decoded,
    but its digests are looked up and it is recorded, by other threads.
    """

    def __init__(self, factory: BackendFactory, threads: int, max_pending: int) -> None:
        """Run *threads* tasks at a time; up to *max_pending* more wait."""
        self._factory = factory
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hashwacht")
        self._share = FairShare(threads + max_pending)
        self._digest_pool = ThreadPoolExecutor(
            DIGEST_THREADS, thread_name_prefix="hashwacht-digest"
        )
        self._digest_share = FairShare(MAX_PENDING_DIGESTS)
        self._lock = threading.Lock()
        self._closed = False
        self._backend: CheckBackend | None = None
        self._is_warm = False
        self._streaming_backend: StreamingBackend | None = None

    def open_stream(self) -> StreamHasher | None:
        """Return a hasher for an upload that is still arriving; None if it must be spooled.

        Never waits: the backend streams once a first task has warmed it up.
        """
        backend = self._streaming_backend
        if backend is None:
            return None
        try:
            return backend.open_stream()
        except HashwachtError:
            return None  # the task meets the error again and reports it

    def submit(self, task: CheckTask) -> Future[CheckResult]:
        """Run *task* in a thread, then close its file; see the class for what is over a share."""
        if self._share.acquire(task.client):
            return self._start(task, task.run, self._pool, self._share)
        if task.run_digests is not None and self._digest_share.acquire(task.client):
            return self._start(task, task.run_digests, self._digest_pool, self._digest_share)
        _close(task.fd)
        full: Future[CheckResult] = Future()
        full.set_result(undetermined_result(Reason.OVERLOADED, _OVERLOADED))
        return full

    def _start(
        self, task: CheckTask, work: Task, pool: ThreadPoolExecutor, share: FairShare
    ) -> Future[CheckResult]:
        claim = threading.Lock()  # acquired once, by the thread that releases the task

        def release() -> None:
            _close(task.fd)
            share.release(task.client)

        def run() -> CheckResult:
            if not claim.acquire(blocking=False):
                raise CancelledError
            try:
                return self._run(work)
            finally:
                release()

        try:
            future = pool.submit(run)
        except BaseException:  # if no thread could be started, it stays in the pool's queue
            if claim.acquire(blocking=False):
                release()
            raise
        future.add_done_callback(lambda ended: release() if ended.cancelled() else None)
        return future

    def _run(self, work: Task) -> CheckResult:
        try:
            backend = self._open_backend()
            result = work(backend)
            self._warm_up(backend)
        except HashwachtError as error:
            return undetermined_result(Reason.UNANSWERED, f"{error.message} {error.advice}".strip())
        return result

    def _warm_up(self, backend: CheckBackend) -> None:
        """Start what the first stream needs here, where waiting does no harm."""
        if not self._is_warm:
            if isinstance(backend, StreamingBackend):
                backend.open_stream()
                self._streaming_backend = backend
            self._is_warm = True

    def _open_backend(self) -> CheckBackend:
        with self._lock:
            if self._backend is None:
                if self._closed:
                    raise HashwachtError("the checker is closed", advice="Create a new one.")
                self._backend = self._factory()
            return self._backend

    def close(self) -> None:
        """Cancel what has not begun; let the rest end, for a while, and close the backend."""
        for pool in (self._pool, self._digest_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:  # waits for a task that opens the backend
            self._closed, backend = True, self._backend
        if backend is not None:
            self._await_idle()
            backend.close()
        for pool in (self._pool, self._digest_pool):
            pool.shutdown()

    def _await_idle(self) -> None:
        """Wait until no task is running, or until the time is up: then the workers are killed."""
        deadline = time.monotonic() + _CLOSE_TIMEOUT
        while (self._share.used or self._digest_share.used) and time.monotonic() < deadline:
            time.sleep(_CLOSE_TICK)


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)


class UploadStream:
    """``write`` the chunks, ``finish`` for the verdict, ``close`` on every path.

    Not thread-safe.
    """

    def __init__(
        self, executor: CheckExecutor, spool: str | os.PathLike[str] | None, memory: int = 0
    ) -> None:
        """Check with *executor*; up to *memory* bytes stay in memory.

        A file is created, in the directory *spool*, when needed.
        """
        self._executor = executor
        self._hasher = executor.open_stream()
        self._undecided: list[bytes] = []
        self._spool = ContentSpool(spool, memory)
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
            for piece in (*undecided, chunk):
                self._spool.write(piece)
        else:
            self.close()

    def finish(self, context: UploadContext | None = None) -> Future[CheckResult]:
        """End the upload; the future returns the verdict, after ``close`` as well.

        Cancelling the future withdraws a check that has not begun.  Raises OSError if there is
        no space or no descriptor left.
        """
        hasher = self._hasher
        self._keep(b"", keep=True if hasher is None else hasher.finish())
        fd = None if self._spool.is_empty else self._spool.duplicate()

        def check(backend: CheckBackend, *, decodes: bool = True) -> CheckResult:
            if hasher is None:
                assert fd is not None
                return backend.check(fd, context, private=True)
            assert isinstance(backend, StreamingBackend)  # it opened the stream
            return backend.check_stream(hasher, fd, context, decodes=decodes)

        digests = None if hasher is None else partial(check, decodes=False)
        return self._executor.submit(CheckTask(client_of(context), fd, check, digests))

    def descriptor(self) -> int:
        """Return a descriptor of what is spooled, for reading, valid until ``close``.

        Raises OSError.
        """
        return self._spool.descriptor()

    def close(self) -> None:
        """Release the file.  Idempotent."""
        self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

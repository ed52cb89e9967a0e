"""The scanner's end of reading archives: members from a worker, as open contents.

The main path is :meth:`ArchiveUnpacker.unpack`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hashwacht.core.ports import CrashLog
from hashwacht.hashing.workers.archive_protocol import EndReply, decode_reply
from hashwacht.hashing.workers.outcomes import BLOCKED_DETAIL, CRASH_REASONS, crash_failure
from hashwacht.hashing.workers.protocol import TaskFailure, WorkerKind
from hashwacht.hashing.workers.worker_client import WorkerClient, WorkerDied, WorkerTimeout
from hashwacht.hashing.workers.worker_registry import WorkerRegistry
from hashwacht.ipc.codec import ProtocolError
from hashwacht.platform.safe_open import reopen_read_only

TakeMember = Callable[[str, int], TaskFailure | None]
"""Processes a member by its name and descriptor; a failure ends the archive."""


class ArchiveUnpacker:
    """Reads archives in workers of *registry*.  Thread-safe."""

    def __init__(self, registry: WorkerRegistry, crash_log: CrashLog) -> None:
        self._registry, self._crash_log = registry, crash_log

    def unpack(self, fd: int, key: str, take: TakeMember) -> tuple[TaskFailure, ...]:
        """Call *take* with each member of the archive *fd*; return what could not be read.

        *key* is its SHA-256.  The offset of *fd* does not change.  Raises OSError, WorkerError,
        and what *take* raises.
        """
        if (reason := self._crash_log.block_reason(key)) is not None:
            return (TaskFailure(reason, BLOCKED_DETAIL),)
        archive = reopen_read_only(fd)
        try:
            while True:
                with self._registry.checkout(WorkerKind.ARCHIVE) as worker:
                    try:
                        return self._read(worker, archive, take)
                    except (WorkerDied, WorkerTimeout, ProtocolError) as error:
                        status = self._registry.kill(worker)
                        self._registry.check_open(error)
                        if worker.accepted:
                            return (self._crashed(key, crash_failure(error, status)),)
        finally:
            os.close(archive)

    def _read(
        self, worker: WorkerClient, archive: int, take: TakeMember
    ) -> tuple[TaskFailure, ...]:
        """Read an archive to its end, or to the first failure of *take*."""
        fd: int | None = archive
        while True:
            answer = worker.pull(fd)
            fd = None
            try:
                reply = decode_reply(answer.body, answer.copies)
                if isinstance(reply, EndReply):
                    return reply.problems
                (member,) = answer.copies
                assert member is not None
                os.lseek(member, 0, os.SEEK_SET)
                failure = take(reply.name, member)
            finally:
                answer.close()
            if failure is not None:
                self._registry.kill(worker)  # it is in the middle of the archive
                return (failure,)

    def _crashed(self, key: str, failure: TaskFailure) -> TaskFailure:
        if failure.reason in CRASH_REASONS:
            self._crash_log.record_crash(key, failure.reason)
        return failure

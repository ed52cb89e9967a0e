"""Reading announced files: open them safely, wait until they are settled, fingerprint them.

The descriptor that was read stays open until everything that follows from the verdict is done:
the verdict is about these bytes only.

A file that is still being written would be read too early, so it is read when no process has it
open for writing.  Where that is not known, and for a file that is never closed, the change time
decides: only the kernel sets it.  What had a writer while it was read is read again later.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from hashwacht.core.errors import HashwachtError
from hashwacht.core.types import FileId, Reason
from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.dispatcher import (
    OPEN_FACTOR,
    FilePostponed,
    JournaledFile,
    ReadContext,
    ReadResult,
    settle_backoff,
)
from hashwacht.daemon.scanner.unsettled import UnsettledFiles
from hashwacht.engine.read import (
    FileContent,
    FileUnreadable,
    FileVanished,
    OpenFile,
    compare_content,
    read_files,
    unreadable,
)
from hashwacht.hashing.workers.large_contents import LARGE_SIZE, MAX_LARGE
from hashwacht.platform.filesystems.volumes import VOLUMES
from hashwacht.platform.safe_open import FileChanged, OpenDirectory
from hashwacht.platform.syscalls import has_writer
from hashwacht.settings import DaemonSettings
from hashwacht.storage.journal import JournalEntry
from hashwacht.storage.store import Store

_log = logging.getLogger(__name__)

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
"""Errors of this process that are not about the file."""

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG})
"""The path no longer leads to a file, or only through a symbolic link."""

TRANSIENT = frozenset({errno.EIO, errno.ETIMEDOUT, errno.ESTALE})
"""A disk or a server failed; another attempt may succeed."""

MAX_TRIES = 8
"""Attempts after a transient error, about a minute in all; then the next walk tries again."""

MAX_WAITS, MAX_PATIENCE = 12, 300.0
"""Waits, and seconds since the announcement, for a file that does not settle.  Then it is read as
it is: neither constant writing nor constant closing keeps a file from being checked."""

MAX_COMPARED = 64 << 20
"""Bytes of a file that is compared by its digest; a larger one is read by the workers."""

NOT_OPENED = FileId(0, 0, 0, 0, 0)
"""The state of a file that could not be opened."""

MAX_LARGE_OF_OWNER, LARGE_RETRY = 2, 10.0
"""Large files of one user that are read at a time; seconds until a further one is tried again."""


def time_to_settle(fd: int, *, closed: bool, settle_time: float, now: float) -> float:
    """Return the seconds until the open file may be read, 0 for now.

    A file whose writer has *closed* it may be read at once.  Otherwise it must be unchanged for
    *settle_time* seconds, or OPEN_FACTOR times as long while a process has it open for writing.
    A change in the future, made before the clock was set back, does not count.
    """
    writer = has_writer(fd)
    if writer is False or (writer is None and closed):
        return 0.0
    needed = OPEN_FACTOR * settle_time if writer else settle_time
    age = now - os.fstat(fd).st_ctime
    return 0.0 if age >= needed or age < -needed else needed - age


class LargeFileLimit:
    """Limits how many large files are read at a time, in all and of one owner.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: Counter[int] = Counter()

    @contextmanager
    def permit(self, owner: int) -> Iterator[bool]:
        """Yield whether a file of this user may be read now."""
        with self._lock:
            permitted = (
                self._owners.total() < MAX_LARGE and self._owners[owner] < MAX_LARGE_OF_OWNER
            )
            self._owners[owner] += permitted
        try:
            yield permitted
        finally:
            with self._lock:
                self._owners[owner] -= permitted


class FileReader:
    """Reads announced files.  Thread-safe."""

    def __init__(
        self,
        store: Store,
        settings: Callable[[], DaemonSettings],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self._large = LargeFileLimit()
        self._unsettled_files = UnsettledFiles(store, settings)

    def read(
        self,
        file: JournaledFile,
        context: ReadContext,
        on_large: Callable[[JournalEntry], None] = lambda _: None,
    ) -> ReadResult:
        """Read a file once.  Never raises for anything that the file or its owner can cause.

        *on_large* is called before a large file is read, which may take an hour.
        """
        try:
            fd = _open(file)
        except FileChanged:
            return self._postpone(file)
        except OSError as error:
            return self._failure(unreadable(file, NOT_OPENED, 1, error), patient=True)
        if fd is None:
            return FileVanished(file)
        result: ReadResult | None = None
        try:
            result = self._read_open(file, fd, context, on_large)
        except HashwachtError as error:  # no worker or no storage, for the time being
            _log.warning("a file cannot be read now, it is tried again: %s", error.message)
            result = self._postpone(file)
        except OSError as error:  # the file system failed
            result = self._failure(unreadable(file, NOT_OPENED, 1, error), patient=True)
        finally:
            if not isinstance(result, FileContent):
                os.close(fd)
        return result

    def _read_open(
        self,
        file: JournaledFile,
        fd: int,
        context: ReadContext,
        on_large: Callable[[JournalEntry], None],
    ) -> ReadResult:
        now, entry = self._clock(), file.entry
        patient = entry.attempts < MAX_WAITS and now - entry.announced < MAX_PATIENCE
        if entry.lane is not Lane.UNSETTLED and patient:
            settle_time = self._settings().settle_time
            remaining = time_to_settle(fd, closed=entry.closed, settle_time=settle_time, now=now)
            if remaining > 0:
                return FilePostponed(file, max(now + remaining, self._postpone(file).due))
        if VOLUMES.examine(fd):  # what is known of the file may be about another volume
            file = replace(file, known=None)
        status = os.fstat(fd)
        opened = OpenFile(file, fd, FileId.from_stat(status), status.st_nlink)
        if (stored := self._find_stored(opened, context)) is not None:
            return self._settled(stored, context)
        if status.st_size <= LARGE_SIZE:
            return self._read_content(opened, context, patient=patient)
        if entry.lane is Lane.UPLOAD:
            return FilePostponed(file, now, deferred=True)
        with self._large.permit(status.st_uid) as permitted:
            if not permitted:
                return FilePostponed(file, now + LARGE_RETRY)
            on_large(entry)
            return self._read_content(opened, context, patient=patient)

    def _read_content(
        self, opened: OpenFile[JournaledFile], context: ReadContext, *, patient: bool
    ) -> ReadResult:
        (result,) = read_files((opened,), context.pipeline.fingerprint)
        if isinstance(result, FileUnreadable):
            return self._failure(result, patient=patient)
        return self._settled(replace(result, fd=opened.fd), context)

    def _settled(
        self, content: FileContent[JournaledFile], context: ReadContext
    ) -> FileContent[JournaledFile]:
        """Return a content with the time at which the file is looked at again."""
        reread_at = self._unsettled_files.reread_at(content, context.roots, self._clock())
        return replace(content, reread_at=reread_at)

    def _find_stored(
        self, opened: OpenFile[JournaledFile], context: ReadContext
    ) -> FileContent[JournaledFile] | None:
        """Return the stored content of a file if its bytes are the same.

        Whatever was announced is read for that.  A file that is looked at again only because it
        might have been changed is not, if that would show in its times.
        """
        file, known, freshness = opened.file, opened.file.known, context.freshness
        unchanged = known is not None and freshness.is_reusable(known, opened.id)
        if unchanged and file.entry.lane is Lane.UNSETTLED and has_writer(opened.fd) is not True:
            assert known is not None
            stored = FileContent(file, opened.id, opened.nlink, fd=opened.fd, recorded=True)
            return replace(stored, content=known.content)
        content = freshness.find_linked_content(self._store.files, opened.id, opened.nlink)
        if known is not None and known.id.size == opened.id.size:
            same = replace(known, id=opened.id)
            content = known.content if freshness.is_reusable(same, opened.id) else content
        if content is None or opened.id.size > MAX_COMPARED:
            return None
        stored_content = self._store.contents.load([content]).get(content)
        if stored_content is None:
            return None
        result = compare_content(opened, content, stored_content.fingerprint.key)
        if result is not None and known is not None:
            result = replace(result, recorded=result.id == known.id and known.content == content)
        return result

    def _failure(self, failure: FileUnreadable[JournaledFile], *, patient: bool) -> ReadResult:
        """Return what becomes of a failed attempt; *patient*: a changing file may still settle."""
        file = failure.file
        if failure.errno in GONE:
            return FileVanished(file)
        if failure.errno in SHORTAGES:
            return self._postpone(file)
        transient = failure.errno in TRANSIENT and file.entry.attempts < MAX_TRIES
        retry = patient if failure.reason is Reason.CHANGED else transient
        return replace(failure, retry_at=self._postpone(file).due) if retry else failure

    def _postpone(self, file: JournaledFile) -> FilePostponed:
        delay = settle_backoff(self._settings()).delay(file.entry.attempts + 1)
        return FilePostponed(file, self._clock() + delay)


def _open(file: JournaledFile) -> int | None:
    """Open a file without following a symbolic link; return None if it is not a regular one."""
    with OpenDirectory.at(file.directory, listable=False) as directory:
        status = os.stat(file.name, dir_fd=directory.fd, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            return None
        return directory.file(file.name, (status.st_dev, status.st_ino))

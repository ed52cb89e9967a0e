"""Reading open files: from a batch of descriptors to fingerprints that are safe to store."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from hashwacht.core.types import FileId, Fingerprint, Reason
from hashwacht.platform.safe_open import FileChanged, read_consistent, timestamps_settled
from hashwacht.platform.syscalls import has_writer

UNSETTLED_CTIME = -1
"""Stored instead of a change time that proves nothing, as it is too recent or a process had the
file open for writing: no file has it."""


class NamedFile(Protocol):
    """A name in a directory: what a walk has met, or an entry of the journal."""

    @property
    def directory(self) -> bytes:
        """Absolute path of the directory."""

    @property
    def name(self) -> bytes:
        """Name in the directory."""


F = TypeVar("F", bound=NamedFile)
T = TypeVar("T")
F_co = TypeVar("F_co", bound=NamedFile, covariant=True)


@dataclass(frozen=True, slots=True)
class OpenFile(Generic[F_co]):
    """A file that is open for reading, and its state when it was opened or listed."""

    file: F_co
    fd: int
    id: FileId
    nlink: int


@dataclass(frozen=True, slots=True, eq=False)
class FileContent(Generic[F_co]):
    """The content of a file: a *fingerprint* that was computed now, or a stored *content*.

    *id* is the state of the file that the content belongs to.  *recorded* means that the storage
    already has this name with this id.  *fd*, if any, is open on exactly these bytes.
    *seconds* is how long the reading took.  *unsettled*: a process had the file open for writing,
    so it may change without an event, and without another time.  *reread_at* is the Unix time at
    which it is looked at again for such a reason.
    """

    file: F_co
    id: FileId
    nlink: int
    fingerprint: Fingerprint | None = None
    content: int | None = None
    recorded: bool = False
    fd: int | None = None
    seconds: float = 0.0
    unsettled: bool = False
    reread_at: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FileUnreadable(Generic[F_co]):
    """A file that exists and could not be read, or that changed during both attempts.

    *errno* is 0 if no system call failed.  *retry_at* is the Unix time of the next attempt; None
    leaves it to the next walk.
    """

    file: F_co
    id: FileId
    nlink: int
    reason: Reason
    detail: str
    errno: int = 0
    retry_at: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FileVanished(Generic[F_co]):
    """A file that no longer exists under its name."""

    file: F_co


def unreadable(file: F, state: FileId, nlink: int, error: OSError) -> FileUnreadable[F]:
    """Return the outcome for a file on which a system call failed."""
    detail = error.strerror or str(error)
    reason = Reason.OVER_LIMIT if error.errno == errno.EFBIG else Reason.UNREADABLE
    return FileUnreadable(file, state, nlink, reason, detail, error.errno or 0)


def read_files(
    batch: Iterable[OpenFile[F]], fingerprint: Callable[[int], Fingerprint]
) -> Iterator[FileContent[F] | FileUnreadable[F]]:
    """Yield an outcome for each open file; the descriptors stay open.  Raises WorkerError."""
    for opened in batch:
        began = time.perf_counter()
        try:
            state, result, unsettled = _read_stable(opened.fd, fingerprint)
        except OSError as error:
            yield unreadable(opened.file, opened.id, opened.nlink, error)
        except FileChanged as error:
            changed = Reason.CHANGED, error.message
            yield FileUnreadable(opened.file, opened.id, opened.nlink, *changed)
        else:
            seconds = time.perf_counter() - began
            yield FileContent(
                opened.file,
                state,
                opened.nlink,
                result,
                fd=opened.fd,
                seconds=seconds,
                unsettled=unsettled,
            )


def read_small_files(
    batch: Sequence[OpenFile[F]],
    fingerprint_small: Callable[[Sequence[int]], Sequence[Fingerprint | None]],
) -> tuple[list[FileContent[F]], list[OpenFile[F]]]:
    """Return the contents of those files that need digests only, and all other files.

    Others are also the files that changed recently or meanwhile, and those that a process has open
    for writing: pass them to :func:`read_files`.  The descriptors stay open.  Raises WorkerError.
    """
    began, began_ns = time.perf_counter(), time.time_ns()
    before = [_state_at_rest(opened.fd, began_ns) for opened in batch]
    steady = [at for at, state in enumerate(before) if state is not None]
    results = dict(
        zip(steady, fingerprint_small([batch[at].fd for at in steady]), strict=True)
        if steady
        else ()
    )
    seconds = (time.perf_counter() - began) / len(batch)
    contents: list[FileContent[F]] = []
    others: list[OpenFile[F]] = []
    for at, opened in enumerate(batch):
        result, state = results.get(at), before[at]
        if result is None or state is None or _state_at_rest(opened.fd, began_ns) != state:
            others.append(opened)
        else:
            content = FileContent(
                opened.file, state, opened.nlink, result, fd=opened.fd, seconds=seconds
            )
            contents.append(content)
    return contents, others


def _state_at_rest(fd: int, now_ns: int) -> FileId | None:
    """Return the state of a file, None if an equal one later would not prove equal bytes."""
    try:
        state = FileId.from_stat(os.fstat(fd))
        if not timestamps_settled(state, now_ns) or has_writer(fd) is True:
            return None
    except OSError:
        return None
    return state


def compare_content(opened: OpenFile[F], content: int, key: str) -> FileContent[F] | None:
    """Return the stored *content* of an open file if its bytes still have the SHA-256 *key*.

    Identity and times are no proof of the bytes: file systems exchange the contents of two files,
    and assign freed device numbers again.  A digest costs far less than a fingerprint.  None if the
    bytes are others, or the file changed meanwhile.  Raises OSError.
    """
    began = time.perf_counter()
    try:
        state, digest, unsettled = _read_stable(opened.fd, _digest)
    except FileChanged:
        return None
    if digest != key:
        return None
    return FileContent(
        opened.file,
        state,
        opened.nlink,
        content=content,
        fd=opened.fd,
        seconds=time.perf_counter() - began,
        unsettled=unsettled,
    )


def _digest(fd: int) -> str:
    with open(fd, "rb", buffering=0, closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_stable(fd: int, read_value: Callable[[int], T]) -> tuple[FileId, T, bool]:
    """Read a file, twice if it changes meanwhile, and return the state that was read.

    A file with an equal FileId later has not been written to since.  The last value is true if a
    process had it open for writing.
    """
    began = 0

    def read(fd: int) -> T:
        nonlocal began
        began = time.time_ns()
        return read_value(fd)

    unsettled = has_writer(fd) is True
    state, result = read_consistent(fd, read)
    unsettled = unsettled or has_writer(fd) is True
    if unsettled or not timestamps_settled(state, began):
        state = replace(state, ctime_ns=UNSETTLED_CTIME)
    return state, result, unsettled

"""Extracting the members of an archive into sealed memory files, within limits.

Runs in a sandboxed worker.  What it returns is not believed: digests and picture hashes of a member
are computed by other workers, from the sealed file.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hashwacht.core.paths import escape_path
from hashwacht.core.types import Reason
from hashwacht.hashing import ArchiveLimits
from hashwacht.hashing.archives.kinds import ArchiveKind, detect_archive
from hashwacht.hashing.archives.reader import ArchiveMember, ArchiveProblem, ArchiveReader

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

MAX_NAME = 400
"""Characters of a member's name that are reported; the end of a longer one is kept."""

_IN_STREAMS = frozenset({"tar", "cpio"})
"""Formats that are read through a compression; other archives in one are members of it."""

_HEAD = 64 << 10
_PIECE = 256 << 10


@dataclass(frozen=True, slots=True)
class ExtractedMember:
    """A member: its printable *name*, and a sealed memory file that the receiver closes."""

    name: str
    fd: int


def unpacked_kind(fd: int, kind: ArchiveKind) -> ArchiveKind:
    """Return how a compressed file is read: as a tar or cpio archive if it is one, else as a file.

    libarchive would take a file that begins with zeros for an empty tar archive.  Raises
    ArchiveProblem.
    """
    if not kind.filters:
        return kind
    with ArchiveReader(fd, replace(kind, formats=("raw",))) as reader:
        head = next((member.read(_HEAD) for member in reader), b"")
    inner = detect_archive(head)
    is_archive = inner is not None and not inner.filters and inner.formats[0] in _IN_STREAMS
    return replace(kind, formats=inner.formats if inner and is_archive else ("raw",))


def extract(
    fd: int, kind: ArchiveKind, limits: ArchiveLimits, wanted: Callable[[bytes], bool]
) -> Iterator[ExtractedMember | ArchiveProblem]:
    """Yield the wanted members of the archive in *fd*, and a problem for what cannot be read.

    *wanted* decides by the first bytes of a member.  Behind a fatal problem nothing follows.
    """
    try:
        with ArchiveReader(fd, kind) as reader:
            yield from _extract_all(reader, limits, os.fstat(fd).st_size, wanted)
    except ArchiveProblem as problem:
        yield problem


def _extract_all(
    reader: ArchiveReader, limits: ArchiveLimits, size: int, wanted: Callable[[bytes], bool]
) -> Iterator[ExtractedMember | ArchiveProblem]:
    """Yield the members of an archive of *size* bytes.  Raises ArchiveProblem."""
    left = limits.total_for(size)
    for number, member in enumerate(reader, 1):
        if number > limits.max_members:
            raise ArchiveProblem(Reason.OVER_LIMIT, f"more than {limits.max_members} members")
        try:
            extracted = _extract(member, number, min(limits.max_member_size, left), wanted)
        except ArchiveProblem as problem:
            if problem.fatal:
                raise
            yield problem
        else:
            if extracted is not None:
                left -= os.fstat(extracted.fd).st_size
                yield extracted
    if reader.has_encrypted_members:
        yield ArchiveProblem(Reason.ENCRYPTED, "members are encrypted")


def _extract(
    member: ArchiveMember, number: int, most: int, wanted: Callable[[bytes], bool]
) -> ExtractedMember | None:
    """Return a member if it is a file that is *wanted*.  Raises ArchiveProblem."""
    name = printable_name(member.name, number)
    if member.hides_content:
        detail = f"{name} is a directory, link or device with content"
        raise ArchiveProblem(Reason.DAMAGED, detail, fatal=False)
    if not member.is_file:
        return None
    if member.is_encrypted:
        raise ArchiveProblem(Reason.ENCRYPTED, f"{name} is encrypted", fatal=False)
    head = member.read(_HEAD)
    if not head or not wanted(head):
        return None
    fd = os.memfd_create("member", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        _copy(member, head, fd, most, name)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return ExtractedMember(name, fd)


def _copy(member: ArchiveMember, head: bytes, fd: int, most: int, name: str) -> None:
    """Write a member into *fd*.  Raises ArchiveProblem if it is longer than *most* bytes."""
    piece, size = head, 0
    while piece:
        size += len(piece)
        if size > most:
            raise ArchiveProblem(
                Reason.OVER_LIMIT, f"{name} has more than {most} bytes", fatal=False
            )
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(fd, rest) :]
        piece = member.read(_PIECE)


def printable_name(name: bytes, number: int) -> str:
    """Return the name of a member as one printable line; its number if it has none."""
    shown = escape_path(name) if name else f"#{number}"
    return shown if len(shown) <= MAX_NAME else "…" + shown[1 - MAX_NAME :]

"""A fingerprinter that opens archives: each member is a content with a fingerprint of its own.

Another process reads the archive, one member at a time.  What a member is, and what its digests
are, is found out as for any file, so the process that unpacks states nothing that counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import BoundedSemaphore
from typing import Protocol

from hashwacht.core.ports import Fingerprinter, StreamHasher, UploadTurn
from hashwacht.core.text import truncate
from hashwacht.core.types import MEMBERS, ArchiveMode, Fingerprint, Member, Reason, Skip
from hashwacht.hashing import ArchiveLimits
from hashwacht.hashing.archives.kinds import KINDS, detect_archive
from hashwacht.hashing.workers.protocol import MAX_DETAIL, TaskFailure
from hashwacht.hashing.workers.unpacker import TakeMember

VERSION = 1
"""Raised when archives are opened that were not before: they are then read again."""

SEPARATOR = "!/"
"""Between the name of an archive in an archive and that of its member."""

_HEAD = 33 << 10
"""First bytes that show every kind of archive."""

_MAX_NAME = 1000


class Unpacker(Protocol):
    """Reads the members of an archive."""

    def unpack(self, fd: int, key: str, take: TakeMember) -> tuple[TaskFailure, ...]:
        """Call *take* with each member; return what could not be read."""


@dataclass(slots=True)
class _Unpacking:
    """What was read of one archive, those in it included; *size* counts extracted bytes."""

    limit: int
    max_members: int
    turn: UploadTurn | None
    members: list[Member] = field(default_factory=list)
    problems: list[TaskFailure] = field(default_factory=list)
    size: int = 0

    def add(self, member: Member) -> TaskFailure | None:
        """Add a member; return a failure if there are too many, or too large ones."""
        self.members.append(member)
        self.size += member.fingerprint.size
        if len(self.members) >= self.max_members:
            return TaskFailure(Reason.OVER_LIMIT, f"more than {self.max_members} members")
        if self.size > self.limit:
            return TaskFailure(Reason.OVER_LIMIT, f"more than {self.limit} bytes")
        return None

    def skips(self) -> tuple[Skip, ...]:
        """Return why members are missing, each reason once."""
        reasons = {problem.reason: problem.detail for problem in reversed(self.problems)}
        return tuple(Skip(MEMBERS, reason, detail) for reason, detail in reasons.items())


class UnpackingFingerprinter:
    """Adds the members of archives to the fingerprints of another fingerprinter.  Thread-safe."""

    def __init__(
        self,
        inner: Fingerprinter,
        unpacker: Unpacker,
        mode: ArchiveMode,
        limits: ArchiveLimits,
        jobs: int,
    ) -> None:
        """Open up to *jobs* archives at a time; *mode* is part of the recipe."""
        self._inner, self._unpacker, self._limits = inner, unpacker, limits
        self._entry = f"{MEMBERS}/{VERSION}.{mode}"
        self._slots = BoundedSemaphore(jobs)

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types of the other fingerprinter, and which members are hashed."""
        return (*self._inner.recipe, self._entry)

    @property
    def layers(self) -> Mapping[str, str]:
        """The sandbox layers of the other fingerprinter."""
        return self._inner.layers

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        """Return the fingerprint of *fd*, with its members if it is an archive.

        Raises OSError, WorkerError.
        """
        return self.add_members(self._inner.fingerprint(fd, upload=upload), fd, upload)

    def fingerprint_small(self, fds: Sequence[int]) -> Sequence[Fingerprint | None]:
        """Return the fingerprints of small contents that need digests only, None for others.

        Raises WorkerError.
        """
        return [
            None
            if content is None or content.kind in KINDS
            else replace(content, recipe=(*content.recipe, self._entry))
            for content in self._inner.fingerprint_small(fds)
        ]

    def add_members(
        self, content: Fingerprint, fd: int | None, upload: UploadTurn | None
    ) -> Fingerprint:
        """Return a fingerprint with the members of the archive *fd*, if it is one.

        An archive whose digests decide is not opened.
        """
        if content.kind not in KINDS:
            return replace(content, recipe=(*content.recipe, self._entry))
        if upload is not None and upload.decides(content):
            return content
        if fd is None or (upload is not None and not upload.decodes):
            detail = "its client has sent more archives than are opened in time"
            unpacking = self._start(content, upload)
            unpacking.problems.append(TaskFailure(Reason.OVERLOADED, detail))
        else:
            with self._slots:
                unpacking = self._start(content, upload)
                self._unpack(fd, content, unpacking, (), 1)
        return replace(
            content,
            recipe=(*content.recipe, self._entry),
            skipped=(*content.skipped, *unpacking.skips()),
            members=tuple(unpacking.members),
        )

    def _start(self, content: Fingerprint, upload: UploadTurn | None) -> _Unpacking:
        turn = None if upload is None else UploadTurn(upload.client)
        limits = self._limits
        return _Unpacking(limits.total_for(content.size), limits.max_members, turn)

    def _unpack(
        self,
        fd: int,
        archive: Fingerprint,
        unpacking: _Unpacking,
        parents: tuple[str, ...],
        depth: int,
    ) -> None:
        """Add the members of an archive, and of those in it."""

        def take(name: str, member_fd: int) -> TaskFailure | None:
            content = self._inner.fingerprint(member_fd, upload=unpacking.turn)
            path = (*parents, name)
            shown = truncate(SEPARATOR.join(path), _MAX_NAME)
            recipe = (*content.recipe, self._entry)
            failure = unpacking.add(Member(shown, replace(content, recipe=recipe)))
            if failure is None and content.kind in KINDS:
                if depth < self._limits.max_depth:
                    self._unpack(member_fd, content, unpacking, path, depth + 1)
                else:
                    detail = f"archives in archives, {depth} deep"
                    unpacking.problems.append(TaskFailure(Reason.OVER_LIMIT, detail))
            return failure

        for problem in self._unpacker.unpack(fd, archive.key, take):
            where = f"{SEPARATOR.join(parents)}: " if parents else ""
            detail = truncate(f"{where}{problem.detail}", MAX_DETAIL)
            unpacking.problems.append(TaskFailure(problem.reason, detail))

    def open_stream(self) -> StreamHasher | None:
        """Return a hasher for a content that is still arriving, None if it must be complete."""
        stream = self._inner.open_stream()
        return None if stream is None else _UnpackingStream(stream, self)

    def close(self) -> None:
        """Close the other fingerprinter, and with it what reads archives."""
        self._inner.close()


class _UnpackingStream:
    """A ``StreamHasher`` that also keeps the bytes of archives."""

    def __init__(self, stream: StreamHasher, fingerprinter: UnpackingFingerprinter) -> None:
        self._stream, self._fingerprinter = stream, fingerprinter
        self._head = bytearray()
        self._keeps: bool | None = None

    def update(self, chunk: bytes) -> bool | None:
        """Hash the next bytes; return whether to keep all bytes so far, None if not known yet."""
        keeps = self._stream.update(chunk)
        if len(self._head) < _HEAD:
            self._head += chunk[: _HEAD - len(self._head)]
        if self._keeps is None and len(self._head) == _HEAD:
            self._keeps = detect_archive(bytes(self._head)) is not None
        return True if keeps or self._keeps else (None if keeps is None else self._keeps)

    def finish(self) -> bool:
        """End the content; return whether to keep its bytes until ``fingerprint`` returns."""
        if self._keeps is None:
            self._keeps = detect_archive(bytes(self._head)) is not None
        return self._stream.finish() or self._keeps

    def fingerprint(self, kept: int | None, *, upload: UploadTurn) -> Fingerprint:
        """Return the fingerprint; *kept* is the open file if ``finish`` returned True."""
        content = self._stream.fingerprint(kept, upload=upload)
        return self._fingerprinter.add_members(content, kept, upload)

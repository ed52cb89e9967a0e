"""A fingerprinter that opens archives: each member is a content with a fingerprint of its own.

Another process reads the archive, one member at a time.  What a member is, and what its digests
are, is found out as for any file, so the process that unpacks states nothing that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Protocol

from hashwacht.core.ports import Fingerprinter, StreamHasher, UploadTurn
from hashwacht.core.text import truncate
from hashwacht.core.types import MEMBERS, ArchiveMode, Fingerprint, Member, Reason, Skip
from hashwacht.hashing import ArchiveLimits
from hashwacht.hashing.archives.kinds import KINDS, detect_archive
from hashwacht.hashing.workers.protocol import MAX_DETAIL, TaskFailure
from hashwacht.hashing.workers.scheduler import ClientBusy, FairScheduler, SchedulerLane
from hashwacht.hashing.workers.unpacker import TakeMember
from hashwacht.hashing.workers.upload_turns import PATIENCE

VERSION = 1
"""Raised when archives are opened that were not before: they are then read again."""

SEPARATOR = "!/"
"""Between the name of an archive in an archive and that of its member."""

_HEAD = 33 << 10
"""First bytes that show every kind of archive."""

_MAX_NAME = 1000

_PASSING = frozenset({Reason.OVERLOADED, Reason.NO_DECODER})
"""Reasons that do not lie in the archive: the next scan opens it."""

_BUSY = TaskFailure(Reason.OVERLOADED, "its client has sent more archives than are opened in time")


class Unpacker(Protocol):
    """Reads the members of an archive."""

    def unpack(self, fd: int, key: str, take: TakeMember) -> tuple[TaskFailure, ...]:
        """Call *take* with each member; return what could not be read."""


@dataclass(slots=True)
class _Unpacking:
    """What was read of one archive, those in it included; *size* counts extracted bytes.

    After *seconds* of *clock* no member is hashed any more.
    """

    limit: int
    max_members: int
    seconds: float
    clock: Callable[[], float]
    turn: UploadTurn | None
    members: list[Member] = field(default_factory=list)
    problems: list[TaskFailure] = field(default_factory=list)
    size: int = 0
    began: float = 0.0

    def overtime(self) -> TaskFailure | None:
        """Return a failure if there is no time for another member."""
        if self.clock() - self.began < self.seconds:
            return None
        reason = Reason.TIMED_OUT if self.turn is None else Reason.OVERLOADED
        return TaskFailure(reason, f"its members take longer than {self.seconds:g} seconds")

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
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Open up to *jobs* archives of each lane at a time; *mode* is part of the recipe."""
        self._inner, self._unpacker, self._limits = inner, unpacker, limits
        self._entry = f"{MEMBERS}/{VERSION}.{mode}"
        self._clock = clock
        # Slots of their own: what is found may take an hour, and uploads do not wait for that.
        self._slots: Mapping[SchedulerLane, FairScheduler[None, None]] = {
            lane: FairScheduler(jobs) for lane in SchedulerLane
        }

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
        unpacking = self._open(content, fd, upload)
        # Otherwise it would not be read again, and replace what was read completely before.
        passes = any(problem.reason in _PASSING for problem in unpacking.problems)
        return replace(
            content,
            recipe=content.recipe if passes else (*content.recipe, self._entry),
            skipped=(*content.skipped, *unpacking.skips()),
            members=tuple(unpacking.members),
        )

    def _open(self, content: Fingerprint, fd: int | None, upload: UploadTurn | None) -> _Unpacking:
        """Return what was read of an archive, in a slot of its lane."""
        unpacking = self._start(content, upload)
        lane, client, patience = SchedulerLane.LOCAL, "", None
        if upload is not None:
            lane, client, patience = SchedulerLane.UPLOAD, upload.client, PATIENCE
        if fd is None or (upload is not None and not upload.decodes):
            unpacking.problems.append(_BUSY)
            return unpacking
        try:
            with self._slots[lane].slot(lane, client, patience):
                unpacking.began = self._clock()
                self._unpack(fd, content, unpacking, (), 1)
        except ClientBusy:
            unpacking.problems.append(_BUSY)
        return unpacking

    def _start(self, content: Fingerprint, upload: UploadTurn | None) -> _Unpacking:
        turn, limits = None if upload is None else UploadTurn(upload.client), self._limits
        seconds = limits.max_time if upload is None else limits.max_upload_time
        total = limits.total_for(content.size)
        return _Unpacking(total, limits.max_members, seconds, self._clock, turn)

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
            if (failure := unpacking.overtime()) is not None:
                return failure
            content = self._inner.fingerprint(member_fd, upload=unpacking.turn)
            path = (*parents, name)
            shown = truncate(SEPARATOR.join(path), _MAX_NAME)
            if content.kind not in KINDS:  # the members of others are those of this archive
                content = replace(content, recipe=(*content.recipe, self._entry))
            failure = unpacking.add(Member(shown, content))
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

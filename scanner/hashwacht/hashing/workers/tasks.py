"""The tasks of the workers: each kind of worker computes one part of a fingerprint.

Digests never come from a process that decodes: a compromised decoder could otherwise return the
key of another content and so poison what the storage knows about that one.  The worker that
digests reads the file, once, and copies what may be a picture into a sealed memory file; that
copy is all that the decoding worker gets.

A content that is still arriving is digested in the scanner: digests need no sandbox, because
nothing is decoded and the code is the standard library's.  If it is no picture it costs its digests
only and no copy; a picture goes to a worker when it is complete.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from hashwacht.core.ports import UploadTurn
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.hashing import Plan
from hashwacht.hashing.content_reader import (
    HEAD,
    TAIL,
    ContentDigester,
    ContentInfo,
    EncodedPicture,
    read,
)
from hashwacht.hashing.decoders.svg import GZIP, is_packed_svg
from hashwacht.hashing.formats import detect_format
from hashwacht.hashing.in_process import (
    FingerprintBuilder,
    InProcessFingerprinter,
    RunningDigests,
    is_other_kind,
    may_be_picture,
    start_digests,
)
from hashwacht.hashing.registry import Digest, EncodedPictureHash, hashers
from hashwacht.hashing.sniff import sniff
from hashwacht.hashing.workers.protocol import PictureResult, TaskFailure, WorkerKind
from hashwacht.hashing.workers.small.small_task import SmallTask
from hashwacht.platform.safe_open import reopen_read_only

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

TaskResult = tuple[Fingerprint | PictureResult | TaskFailure, int | None]
"""The result, and a copy of the content to decode (the caller closes it) or None."""


class WorkerTask(Protocol):
    """What a worker of one kind does with every content."""

    def run(self, fd: int) -> TaskResult:
        """Process one open content.  Raises OSError if the file system refuses."""


def make_task(plan: Plan, worker_kind: WorkerKind) -> WorkerTask:
    """Return the task of a worker kind.  Raises ConfigurationError."""
    if worker_kind is WorkerKind.DIGESTS:
        return DigestTask(plan)
    if worker_kind is WorkerKind.SMALL:
        return SmallTask(plan)
    return PictureTask(worker_plan(plan, worker_kind))


def worker_plan(plan: Plan, worker_kind: WorkerKind) -> Plan:
    """Return the part of *plan* that workers of one kind compute."""
    commands = dict(plan.commands)
    digests = {hasher.name for hasher in hashers(plan) if isinstance(hasher, Digest)}
    names = {
        WorkerKind.DIGESTS: digests,
        WorkerKind.SMALL: digests,
        WorkerKind.COMMANDS: commands.keys() - digests,
        WorkerKind.PICTURE: set(plan.types) - digests - commands.keys(),
    }[worker_kind]
    return replace(
        plan,
        types=tuple(name for name in dict.fromkeys(plan.types) if name in names),
        commands=plan.commands if worker_kind is WorkerKind.COMMANDS else (),
    )


class DigestTask:
    """Reads a content to its end: all digests, its kind, and a copy if it is to be decoded."""

    def __init__(self, plan: Plan) -> None:
        """Take the whole plan: this task also records why a picture is not decoded."""
        planned = hashers(plan)
        self.max_picture_bytes = plan.limits.max_picture_size
        """Bytes of the largest picture that is decoded."""
        self._digests = [hasher for hasher in planned if isinstance(hasher, Digest)]
        self._others = [hasher for hasher in planned if not isinstance(hasher, Digest)]
        self._uses_encoded = any(isinstance(hasher, EncodedPictureHash) for hasher in self._others)
        self._recipe = tuple(f"{digest.name}/{digest.version}" for digest in self._digests)

    def run(self, fd: int) -> TaskResult:
        """Read *fd* once."""
        running = self.begin()
        max_bytes = self.max_picture_bytes if self._others else 0
        copy = _PictureCopy(max_bytes, uses_encoded=self._uses_encoded)
        try:
            content = read(fd, [*running.values(), copy], keep=lambda _: False, at_most=0)
            return self.build_fingerprint(content, running, decoding=copy.exists), copy.seal()
        except BaseException:
            copy.drop()
            raise

    def begin(self) -> RunningDigests:
        """Return new states of all digests but the content key, by name."""
        return start_digests(self._digests)

    def build_fingerprint(
        self, content: ContentInfo, running: RunningDigests, *, decoding: bool
    ) -> Fingerprint:
        """Return the digests as a fingerprint; unless *decoding*, with the reasons why not."""
        builder = FingerprintBuilder()
        builder.add_digests(self._digests, running, content.key)
        key, size, kind = content.key, content.size, sniff(content.head, content.tail)
        if not decoding:
            self._skip_pictures(builder, content, kind)
        return Fingerprint(key, size, kind, self._recipe, builder.signals, builder.skipped)

    def needs_decoding(self, head: bytes, size: int) -> bool:
        """Return whether a content with these first bytes and this size goes to a decoder."""
        if not self._others or size > self.max_picture_bytes:
            return False
        return may_be_picture(head, uses_encoded=self._uses_encoded)

    def _skip_pictures(self, builder: FingerprintBuilder, content: ContentInfo, kind: str) -> None:
        """Record why the content is not decoded, as :class:`InProcessFingerprinter` does."""
        if is_other_kind(detect_format(content.head), kind, decoding=False):
            builder.skip_all(self._others, Reason.OTHER_KIND)
        elif content.size > self.max_picture_bytes:
            builder.skip_all(self._others, Reason.OVER_LIMIT, f"{content.size} bytes")
        else:
            builder.skip_all(self._others, Reason.NO_DECODER, kind)


class _PictureCopy:
    """Copies what may be a picture into a memory file, up to a limit."""

    def __init__(self, max_bytes: int, *, uses_encoded: bool) -> None:
        self._left = max_bytes
        self._uses_encoded = uses_encoded
        self._decided = False
        self._fd: int | None = None

    def update(self, chunk: bytes, /) -> None:
        if not self._decided:
            self._decided = True
            if self._left and self._may_be_picture(chunk):
                self._fd = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        if self._fd is None:
            return
        self._left -= len(chunk)
        if self._left < 0:
            self.drop()
            return
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def _may_be_picture(self, head: bytes) -> bool:
        if head.startswith(GZIP) and not is_packed_svg(head[:HEAD]):
            return False  # most archives; their content is not copied
        return may_be_picture(head, uses_encoded=self._uses_encoded)

    @property
    def exists(self) -> bool:
        return self._fd is not None

    def seal(self) -> int | None:
        """Return the file, from now on unchangeable; None if there is no copy."""
        if self._fd is not None:
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, _SEALS)
        return self._fd

    def drop(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class PictureTask(InProcessFingerprinter):
    """Computes everything that needs a decoder; returns no digests, key, size or kind."""

    def run(self, fd: int) -> TaskResult:
        """Decode the sealed copy of a content."""
        size, original = os.fstat(fd).st_size, EncodedPicture(fd)
        content = ContentInfo("", size, original.read(HEAD), original.last(TAIL), original)
        builder = FingerprintBuilder()
        damaged = self._hash_picture(content, sniff(content.head, content.tail), builder)
        return PictureResult(builder.signals, builder.skipped, damaged), None


PictureStep = Callable[[Fingerprint, int, UploadTurn], Fingerprint]
"""Adds the picture hashes of an open file to the digests."""


class PoolStreamHasher:
    """A ``StreamHasher`` for one content.  For one thread at a time."""

    def __init__(self, task: DigestTask, recipe: tuple[str, ...], decode: PictureStep) -> None:
        """Digest as *task* does; *recipe* is everything that is attempted, *decode* included."""
        self._task, self._recipe, self._decode = task, recipe, decode
        self._running = task.begin()
        self._digester = ContentDigester(self._running.values())
        self._picture: bool | None = None

    def update(self, chunk: bytes) -> bool | None:
        """Hash the next bytes; return whether to keep all bytes so far, None if not known yet."""
        self._digester.update(chunk)
        if self._picture is None and len(self._digester.head) == HEAD:
            self._picture = self._needs_decoding()
        elif self._picture and self._digester.size > self._task.max_picture_bytes:
            self._picture = False
        return self._picture

    def finish(self) -> bool:
        """End the content; return whether to keep its bytes until ``fingerprint`` returns."""
        if self._picture is None:
            self._picture = self._needs_decoding()
        return self._picture

    def fingerprint(self, kept: int | None, *, upload: UploadTurn) -> Fingerprint:
        """Return the fingerprint; *kept* is the open file if ``finish`` returned True.

        The worker gets *kept* for reading only.  Raises OSError, WorkerError.
        """
        content, picture = self._digester.content(), self.finish()
        built = self._task.build_fingerprint(content, self._running, decoding=picture)
        digests = replace(built, recipe=self._recipe)
        if not picture:
            return digests
        assert kept is not None
        copy = reopen_read_only(kept)
        try:
            return self._decode(digests, copy, upload)
        finally:
            os.close(copy)

    def _needs_decoding(self) -> bool:
        return self._task.needs_decoding(self._digester.head, self._digester.size)

"""The parts of a fingerprint, each made in a worker of its own kind.

Digests never come from a process that decodes: a decoder that was taken over could otherwise
give the key of another content, and so poison what the state knows of that one.  The worker that
digests reads the file, once, and puts what may be a picture into a sealed memory file; that is
all the decoding worker ever gets.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from hashwacht.core.types import CONTENT_KEY_TYPE, Fingerprint, Reason, Signal
from hashwacht.hashing.builder import FingerprintBuilder, GuardedDigest
from hashwacht.hashing.formats import detect_format
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing.plan import Plan
from hashwacht.hashing.reader import HEAD, TAIL, ContentInfo, EncodedPicture, read
from hashwacht.hashing.registry import Digest, EncodedPictureHash, Hasher, hashers
from hashwacht.hashing.sniff import lacks_decoder, sniff
from hashwacht.hashing.workers.protocol import PictureResult, WorkerKind

_SEALED = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

TaskResult = tuple[Fingerprint | PictureResult, int | None]
"""What came out, and a copy of the content to be looked at (the taker closes it) or None."""

RunningDigests = Mapping[str, GuardedDigest]
"""The digests of one content under way, by name."""


class WorkerTask(Protocol):
    """What a worker of one kind does with a content."""

    def run(self, fd: int) -> TaskResult:
        """Do it.  Raises OSError if the file system refuses."""


def make_task(plan: Plan, worker_kind: WorkerKind) -> WorkerTask:
    """Make what a worker for *attempt* does.  Raises ConfigurationError."""
    return (
        DigestTask(plan)
        if worker_kind is WorkerKind.DIGESTS
        else PictureTask(worker_plan(plan, worker_kind))
    )


def worker_plan(plan: Plan, worker_kind: WorkerKind) -> Plan:
    """Give the part of *plan* that is done in one attempt."""
    programs = dict(plan.commands)
    digests = {each.name for each in hashers(plan) if isinstance(each, Digest)}
    of = {
        WorkerKind.DIGESTS: digests,
        WorkerKind.COMMANDS: programs.keys() - digests,
        WorkerKind.PICTURE: set(plan.types) - digests - programs.keys(),
    }
    types = tuple(name for name in dict.fromkeys(plan.types) if name in of[worker_kind])
    return replace(
        plan, types=types, commands=plan.commands if worker_kind is WorkerKind.COMMANDS else ()
    )


class DigestTask:
    """Reads a content to its end: all digests, its kind, and a copy if it is to be looked at."""

    def __init__(self, plan: Plan) -> None:
        """Take the whole plan: why a picture is not looked at is said here, too."""
        found = hashers(plan)
        self.max_picture_bytes = plan.limits.max_picture_size
        """Bytes of the largest picture that is looked at."""
        self._digests = [each for each in found if isinstance(each, Digest)]
        self._others = [each for each in found if not isinstance(each, Digest)]
        self._has_originals = any(isinstance(each, EncodedPictureHash) for each in self._others)
        self._recipe = tuple(f"{each.name}/{each.version}" for each in self._digests)

    def run(self, fd: int) -> TaskResult:
        """Read *fd* once."""
        running = self.begin()
        copy = _Copy(
            self.max_picture_bytes if self._others else 0, has_originals=self._has_originals
        )
        try:
            content = read(fd, [*running.values(), copy], keep=lambda _: False, at_most=0)
            made = self.build_fingerprint(content, running, looked_at=copy.begun)
            return made, copy.sealed()
        except BaseException:
            copy.drop()
            raise

    def begin(self) -> RunningDigests:
        """Begin a content: all digests but the key, by name."""
        return {d.name: GuardedDigest(d) for d in self._digests if d.name != CONTENT_KEY_TYPE}

    def build_fingerprint(
        self, content: ContentInfo, running: RunningDigests, *, looked_at: bool
    ) -> Fingerprint:
        """Put together what is known; say why not, if nobody looks at it."""
        account = FingerprintBuilder()
        key = [Signal(CONTENT_KEY_TYPE, content.key)]
        for each in self._digests:
            guarded = running.get(each.name)
            account.run_hasher(each, guarded.signals if guarded else key.copy)
        kind = sniff(content.head, content.tail)
        if not looked_at:
            self._account(account, content, kind)
        return Fingerprint(
            content.key, content.size, kind, self._recipe, account.signals, account.skipped
        )

    def needs_decoding(self, head: bytes, size: int) -> bool:
        """Say if a content that begins so, and has *size* bytes, is for those who look."""
        if not self._others or size > self.max_picture_bytes:
            return False
        return wanted(head, has_originals=self._has_originals)

    def _account(self, account: FingerprintBuilder, content: ContentInfo, kind: str) -> None:
        """Say why nobody looks at it: as :class:`InProcessFingerprinter` does."""
        others: Sequence[Hasher] = self._others
        if detect_format(content.head) is None and not lacks_decoder(kind):
            account.skip_all(others, Reason.OTHER_KIND)
        elif content.size > self.max_picture_bytes:
            account.skip_all(others, Reason.OVER_LIMIT, f"{content.size} bytes")
        else:
            account.skip_all(others, Reason.NO_DECODER, kind)


class _Copy:
    """Takes the bytes of what may be a picture, up to a limit, in a memory file."""

    def __init__(self, most: int, *, has_originals: bool) -> None:
        self._left = most
        self._has_originals = has_originals
        self._decided = False
        self._fd: int | None = None

    def update(self, chunk: bytes, /) -> None:
        """Take the next bytes; the first ones decide."""
        if not self._decided:
            self._decided = True
            if self._left and wanted(chunk, has_originals=self._has_originals):
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

    @property
    def begun(self) -> bool:
        """True if there is something to look at."""
        return self._fd is not None

    def sealed(self) -> int | None:
        """Give the file, which nobody can change any more; None if there is none."""
        if self._fd is not None:
            fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, _SEALED)
        return self._fd

    def drop(self) -> None:
        """Let go of what was taken."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def wanted(head: bytes, *, has_originals: bool) -> bool:
    """Say from the first bytes of a content if anybody could look at it."""
    if detect_format(head) is not None:
        return True
    return has_originals and lacks_decoder(sniff(head, b""))


class PictureTask(InProcessFingerprinter):
    """Everything that is computed from a picture; says nothing of digests, key, size or kind."""

    def run(self, fd: int) -> TaskResult:
        """Look at the sealed copy of a content."""
        size, original = os.fstat(fd).st_size, EncodedPicture(fd)
        content = ContentInfo("", size, original.read(HEAD), original.last(TAIL), original)
        account = FingerprintBuilder()
        damaged = self._judge(content, sniff(content.head, content.tail), account)
        return PictureResult(account.signals, account.skipped, damaged), None

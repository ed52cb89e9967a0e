"""A scanner in memory, behind the port of the socket servers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.gateway.checks import Answer, HashedContent, PathAnswer
from hashwacht.gateway.peers import Peer
from hashwacht.uploads.backend import CheckResult

LISTED, DAMAGED = b"the listed picture", b"a damaged picture"
"""Contents that match, and that are undetermined, as long as a FakeChecks knows no others."""


def match_of(content: bytes) -> Match:
    """Return the match of a listed content."""
    return Match("police", Signal("sha256", sha256(content).hexdigest()), 0, "csam", "known", "17")


@dataclass
class FakeChecks:
    """Matches what contains one of *listed*, leaves *undetermined* what contains one of these.

    *contexts* are those of all checks so far; no check ends before *released* is set.
    """

    listed: frozenset[bytes] = frozenset({LISTED})
    undetermined: frozenset[bytes] = frozenset({DAMAGED})
    able: bool = True
    paths: dict[bytes, bytes] = field(default_factory=dict)
    contexts: list[UploadContext] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    open_streams: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.released.set()

    def judge(self, content: bytes) -> Answer:
        """Return the answer for a content, with an event of its own."""
        event = os.urandom(4).hex()
        key = sha256(content).hexdigest()
        if self.is_listed(content):
            verdict = Verdict(Outcome.MATCH, (match_of(content),))
        elif any(part in content for part in self.undetermined):
            verdict = Verdict(Outcome.UNDETERMINED, reason=Reason.DAMAGED, detail="damaged")
        else:
            verdict = Verdict(Outcome.NO_MATCH)
        return Answer(CheckResult(verdict, key, "image/png", len(content), recorded=True), event)

    def is_listed(self, content: bytes) -> bool:
        """Return whether *content* matches."""
        return any(part in content for part in self.listed)

    def open_stream(self) -> FakeStream:
        """Return a stream into memory."""
        return FakeStream(self)

    async def check_fd(self, fd: int, context: UploadContext) -> Answer:
        """Return the answer for a file."""
        self.contexts.append(context)
        await self.released.wait()
        return self.judge(os.pread(fd, os.fstat(fd).st_size, 0))

    async def check_path(
        self, path: bytes, peer: Peer, *, everything: bool
    ) -> Sequence[PathAnswer]:
        """Return the answers for *path* and what is below it."""
        self.peers.append(peer)
        inside = path.rstrip(b"/") + b"/"
        below = [name for name in self.paths if name == path or name.startswith(inside)]
        if not below:
            return [PathAnswer(path, None, "Access denied.")]
        answers = []
        for name in below:
            answers.append(PathAnswer(name, self.judge(self.paths[name])))
            if self.is_listed(self.paths[name]) and not everything:
                break
        return answers

    async def lookup(self, contents: Sequence[HashedContent]) -> Sequence[Verdict]:
        """Return a match for every SHA-256 of a listed content."""
        known = {sha256(content).hexdigest() for content in self.listed}
        await self.released.wait()
        return [
            Verdict(
                Outcome.MATCH, tuple(Match("police", s, 0, "csam", "known", "17") for s in hits)
            )
            if (hits := [signal for signal in content.signals if signal.value in known])
            else Verdict(Outcome.NO_MATCH)
            for content in contents
        ]

    async def is_able(self) -> bool:
        """Return *able*."""
        return self.able

    async def revision(self) -> int:
        """Return a fixed number."""
        return 412


class FakeStream:
    """A content in an unnamed file in memory."""

    def __init__(self, checks: FakeChecks) -> None:
        self._checks = checks
        self._fd: int | None = os.memfd_create("content")
        checks.open_streams += 1

    def write(self, chunk: bytes) -> None:
        """Add the next bytes."""
        os.write(self.descriptor(), chunk)

    async def finish(self, context: UploadContext) -> Answer:
        """Return the answer for the whole content."""
        return await self._checks.check_fd(self.descriptor(), context)

    def descriptor(self) -> int:
        """Return the descriptor of the file."""
        assert self._fd is not None
        return self._fd

    def close(self) -> None:
        """Release the file."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
            self._checks.open_streams -= 1

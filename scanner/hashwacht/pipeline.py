"""Fingerprint, match, decide: the one path that every content takes.

Read this first.  A content comes in as an open descriptor; the *fingerprinter* turns it into
signals (in a process that may die of it); the *panel* of matchers is asked with those signals
and nothing else; :func:`hashwacht.core.verdict.judge` says what is known.  Whoever drives it (the
scan, the recheck, later the daemon and the middleware) decides what to do about it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

from hashwacht.core.ports import Fingerprinter, StreamHasher, SupportsPriority, SupportsStreaming
from hashwacht.core.types import Answer, Fingerprint, Verdict
from hashwacht.core.verdict import judge
from hashwacht.matching.matcher_set import LookupRequest, MatcherSet
from hashwacht.platform.safe_open import read_consistent


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of one content now.

    *answers* are all that count, *fresh* what was said just now and belongs into the state;
    *asked_at* is the date (Unix time) of the oldest answer that ages, infinity if none does.
    """

    fingerprint: Fingerprint
    answers: tuple[Answer, ...]
    new_answers: tuple[Answer, ...]
    verdict: Verdict
    asked_at: float


def judge_all(
    panel: MatcherSet,
    contents: Sequence[LookupRequest],
    now: float,
    unavailable: Collection[str] = (),
) -> list[Judgement]:
    """Ask what is not answered yet, and decide; in order.  *now* is Unix time.

    A stored answer that still holds is used; a service is never asked twice for it, and one that
    is *muted* not at all.
    """
    accepted = panel.accepts
    replies = panel.lookup(contents, now, unavailable)
    return [
        Judgement(
            fingerprint=content.fingerprint,
            answers=reply.answers,
            new_answers=reply.new_answers,
            verdict=judge(content.fingerprint, reply.answers, accepted),
            asked_at=reply.asked_at,
        )
        for content, reply in zip(contents, replies, strict=True)
    ]


Read = Callable[[Fingerprinter, int], Fingerprint]


def _found(fingerprinter: Fingerprinter, fd: int) -> Fingerprint:
    return fingerprinter.fingerprint(fd)


def _handed(fingerprinter: Fingerprinter, fd: int) -> Fingerprint:
    if isinstance(fingerprinter, SupportsPriority):
        return fingerprinter.fingerprint_upload(fd)
    return fingerprinter.fingerprint(fd)


class Pipeline:
    """The parts, put together.  Thread-safe if they are, as their ports demand."""

    def __init__(
        self,
        fingerprinter: Fingerprinter,
        panel: MatcherSet,
        clock: Callable[[], float] = time.time,
        exact: Fingerprinter | None = None,
    ) -> None:
        """Take the parts; ``close`` closes them.

        *exact* is needed if *fingerprinter* is quick: it decides what is near an entry.
        """
        self.fingerprinter = fingerprinter
        self._exact = exact
        self.panel = panel
        self._clock = clock

    def fingerprint(self, fd: int) -> Fingerprint:
        """Turn an open file, at offset 0, into its fingerprint.  Raises OSError.

        A picture that a local list may know is read and hashed once more, exactly: verdicts
        never depend on quick hashes.
        """
        return self._exactly(fd, self.fingerprinter.fingerprint(fd))

    def fingerprint_upload(self, fd: int) -> Fingerprint:
        """As ``fingerprint``, for what another process handed to this one."""
        return self._exactly(fd, _handed(self.fingerprinter, fd), _handed)

    def _exactly(self, fd: int, found: Fingerprint, read: Read = _found) -> Fingerprint:
        if self._exact is None or not self.panel.needs_exact_hash(found):
            return found
        os.lseek(fd, 0, os.SEEK_SET)
        again = read(self._exact, fd)
        both = dict.fromkeys((*again.recipe, *found.recipe))  # exact stands for quick as well
        return replace(again, recipe=tuple(both))

    def check(self, fd: int) -> Judgement:
        """Take one open file all the way.

        Raises OSError if it cannot be read, Changed if it was written to during both attempts.
        """
        _, fingerprint = read_consistent(fd, self.fingerprint)
        return self._judge(fingerprint)

    def open_stream(self) -> StreamHasher | None:
        """Begin with a content that still comes in; None if it is read when it is complete."""
        able = self.fingerprinter
        return able.open_stream() if isinstance(able, SupportsStreaming) else None

    def check_private(self, fd: int) -> Judgement:
        """Take a file all the way that nobody else can write to; so it is not watched for changes.

        That saves the tick of the kernel's clock that :func:`stable` waits out after a write.
        Raises OSError.
        """
        os.lseek(fd, 0, os.SEEK_SET)
        return self._judge(self.fingerprint(fd))

    def check_stream(self, ahead: StreamHasher, kept: int | None) -> Judgement:
        """Take a content all the way that was read while it came in; *kept* if that was wanted.

        Raises OSError, WorkerError.
        """
        found = ahead.fingerprint(kept)
        return self._judge(found if kept is None else self._exactly(kept, found))

    def _judge(self, fingerprint: Fingerprint) -> Judgement:
        return judge_all(self.panel, [LookupRequest(fingerprint)], self._clock())[0]

    def close(self) -> None:
        """End the workers and close the matchers."""
        self.fingerprinter.close()
        if self._exact is not None:
            self._exact.close()
        self.panel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

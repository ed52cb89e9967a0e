"""Hash, match, decide: the path of every content.  Read this file first.

A content arrives as an open file descriptor.

1. **Hash.** The *fingerprinter* computes the signals of the content, in worker processes that a
   hostile file may crash (:mod:`hashwacht.hashing`).
2. **Match.** The *matchers* answer for these signals; they see nothing else of the content
   (:mod:`hashwacht.matching`).
3. **Decide.** :func:`hashwacht.core.verdict.judge` combines the answers into a verdict.

What follows from a verdict is up to the caller: scan, recheck, daemon or upload check.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

from hashwacht.core.ports import Fingerprinter, StreamHasher, UploadTurn
from hashwacht.core.types import Answer, Fingerprint, Outcome, Verdict
from hashwacht.core.verdict import judge, judge_container
from hashwacht.matching.matcher_set import EarlierAnswers, LookupRequest, MatcherSet
from hashwacht.platform.safe_open import read_consistent


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and everything that it is based on.

    *answers* are all that count, *new_answers* those that were obtained just now and are not
    stored yet.  *asked_at* is the date (Unix time) of the oldest answer that expires, infinity if
    none does.  *members* are the judgements of the contents in an archive, by name; the verdict
    and *asked_at* include them, the answers do not.
    """

    fingerprint: Fingerprint
    answers: tuple[Answer, ...]
    new_answers: tuple[Answer, ...]
    verdict: Verdict
    asked_at: float
    members: tuple[tuple[str, Judgement], ...] = ()


def judge_all(
    matcher_set: MatcherSet,
    contents: Sequence[LookupRequest],
    now: float,
    unavailable: Collection[str] = (),
) -> list[Judgement]:
    """Return a judgement of every content, in order.  *now* is Unix time.

    Stored answers that are still valid are used; only what is missing is asked.  Matchers named
    in *unavailable* are not asked, which leaves their questions undetermined.
    """
    requests = [*contents, *(member for content in contents for _, member in content.members)]
    replies = matcher_set.lookup(requests, now, unavailable)
    judgements = [
        Judgement(
            fingerprint=request.fingerprint,
            answers=reply.answers,
            new_answers=reply.new_answers,
            verdict=judge(request.fingerprint, reply.answers, matcher_set.accepts),
            asked_at=reply.asked_at,
        )
        for request, reply in zip(requests, replies, strict=True)
    ]
    members = iter(judgements[len(contents) :])
    return [
        _with_members(judgement, [(name, next(members)) for name, _ in content.members])
        for content, judgement in zip(contents, judgements, strict=False)
    ]


def _with_members(own: Judgement, members: Sequence[tuple[str, Judgement]]) -> Judgement:
    if not members:
        return own
    return replace(
        own,
        verdict=judge_container(own.verdict, ((name, m.verdict) for name, m in members)),
        asked_at=min(own.asked_at, *(member.asked_at for _, member in members)),
        members=tuple(members),
    )


class DigestsFirst:
    """Judges an upload by its digests before anything is decoded: a match decides at once.

    *turn* is for the fingerprinter; *earlier* are the answers so far, which are not asked again.
    """

    def __init__(
        self, judge: Callable[[LookupRequest], Judgement], client: str, *, decodes: bool = True
    ) -> None:
        """Call *judge* with the digests; *client* and *decodes* are those of the turn."""
        self._judge = judge
        self.turn = UploadTurn(client, self._decides, decodes)
        self.earlier: EarlierAnswers | None = None

    def _decides(self, digests: Fingerprint) -> bool:
        judgement = self._judge(LookupRequest(digests))
        self.earlier = EarlierAnswers(frozenset(digests.signals), judgement.new_answers)
        return judgement.verdict.outcome is Outcome.MATCH


class Pipeline:
    """A fingerprinter and the matchers.  Thread-safe, as both of them are."""

    def __init__(
        self,
        fingerprinter: Fingerprinter,
        matcher_set: MatcherSet,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.fingerprinter = fingerprinter
        self.matcher_set = matcher_set
        self._clock = clock

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        """Return the fingerprint of an open file, read from offset 0.  Raises OSError, WorkerError.

        *upload*: the content was handed in by another process; its turn does not depend on how
        many files this process has found.
        """
        return self.fingerprinter.fingerprint(fd, upload=upload)

    def fingerprint_small(self, fds: Sequence[int]) -> Sequence[Fingerprint | None]:
        """Return the fingerprints of small contents that need digests only, None for all others.

        Raises WorkerError.
        """
        return self.fingerprinter.fingerprint_small(fds)

    def check(self, fd: int, client: str | None = None) -> Judgement:
        """Return the judgement of one open file; *client* sent it, unless None.

        Raises OSError if it cannot be read, FileChanged if it was written to during both
        attempts, WorkerError.
        """
        if client is None:  # every match is wanted
            return self._judge(
                LookupRequest.from_fingerprint(read_consistent(fd, self.fingerprint)[1])
            )
        first = DigestsFirst(self._judge, client)
        _, fingerprint = read_consistent(fd, partial(self.fingerprint, upload=first.turn))
        return self._judge(LookupRequest.from_fingerprint(fingerprint, first.earlier))

    def check_private(self, fd: int, client: str = "") -> Judgement:
        """Return the judgement of an open file that no other process can write to.

        It is not checked for changes, which saves a wait of one tick of the kernel's clock.
        Raises OSError, WorkerError.
        """
        os.lseek(fd, 0, os.SEEK_SET)
        first = DigestsFirst(self._judge, client)
        fingerprint = self.fingerprint(fd, upload=first.turn)
        return self._judge(LookupRequest.from_fingerprint(fingerprint, first.earlier))

    def open_stream(self) -> StreamHasher | None:
        """Return a hasher for a content that is still arriving, None if it must be complete."""
        return self.fingerprinter.open_stream()

    def check_stream(
        self, stream: StreamHasher, kept: int | None, client: str = "", *, decodes: bool = True
    ) -> Judgement:
        """Return the judgement of a streamed content; *kept* is its file if that was wanted.

        Without *decodes* only its digests are judged.  Raises OSError, WorkerError.
        """
        first = DigestsFirst(self._judge, client, decodes=decodes)
        fingerprint = stream.fingerprint(kept, upload=first.turn)
        return self._judge(LookupRequest.from_fingerprint(fingerprint, first.earlier))

    def _judge(self, request: LookupRequest) -> Judgement:
        return judge_all(self.matcher_set, [request], self._clock())[0]

    def close(self) -> None:
        """Stop the workers and close the matchers."""
        self.fingerprinter.close()
        self.matcher_set.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

"""Several matchers, side by side: who has to be asked about what, and all their answers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

from hashwacht.core.ports import Matcher, Query, QuickHashMatcher
from hashwacht.core.types import QUICK_ERROR_BITS, Answer, Fingerprint, Outcome, Reason
from hashwacht.core.verdict import effective_answer

CALLERS = 8
"""So many may ask at the same time without waiting for one another."""

NOT_ASKED_REASON = "it has not answered lately, and is asked again later"
"""Why somebody was not asked at all."""


@dataclass(frozen=True, slots=True)
class ConfiguredMatcher:
    """A matcher and how long its answers hold, in seconds (None: until its revision changes)."""

    matcher: Matcher
    max_age: float | None = None

    def not_before(self, now: float) -> float:
        """Give the oldest date at which an answer still holds; minus infinity: any."""
        return -math.inf if self.max_age is None else now - self.max_age

    def is_current(self, answer: Answer, revision: str, now: float) -> bool:
        """Say whether a stored answer needs no asking again."""
        return (
            answer.outcome is not Outcome.UNDETERMINED
            and answer.revision == revision
            and answer.asked_at >= self.not_before(now)
        )


@dataclass(frozen=True, slots=True)
class LookupRequest:
    """A content to ask about, with the answers that are already there."""

    fingerprint: Fingerprint
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class LookupResult:
    """All answers for one content: *answers* as they stand now, *fresh* the ones just given.

    *asked_at* is the date (Unix time) of the oldest answer that ages; infinity if none does.
    """

    answers: tuple[Answer, ...]
    new_answers: tuple[Answer, ...]
    asked_at: float


class MatcherSet:
    """Asks only what is not known yet, every matcher at the same time.  Thread-safe."""

    def __init__(self, matchers: Sequence[ConfiguredMatcher]) -> None:
        """Take the matchers; ``close`` closes them."""
        self.matchers = tuple(matchers)
        # More threads than matchers: one that is slow must not keep other callers from the rest.
        most = CALLERS * max(1, len(self.matchers))
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="panel")

    @property
    def accepts(self) -> frozenset[str]:
        """Every signal type that at least one matcher takes."""
        return frozenset().union(*(configured.matcher.accepts for configured in self.matchers))

    def not_before(self, now: float) -> float:
        """Give the date before which some matcher's answers hold no more."""
        return max((configured.not_before(now) for configured in self.matchers), default=-math.inf)

    @property
    def knowledge_id(self) -> str:
        """Who answers, from what knowledge, for how long: equal text, equally valid answers."""
        return "\n".join(
            f"{configured.matcher.name}\t{configured.matcher.revision}\t{configured.max_age}\t"
            + ",".join(sorted(configured.matcher.accepts))
            for configured in self.matchers
        )

    def lookup(
        self, requests: Sequence[LookupRequest], now: float, unavailable: Collection[str] = ()
    ) -> list[LookupResult]:
        """Bring the answers of every request up to date, in order.

        A matcher is asked about a content only if it accepts one of its signals and its stored
        answer is missing, undetermined, out of date or from another revision.  Those that are
        *muted* are not asked at all: what they would be asked is undetermined.
        """

        def lookup(configured: ConfiguredMatcher) -> list[_Standing | None]:
            return _ask_one(
                configured, requests, now, unavailable=configured.matcher.name in unavailable
            )

        # Services are waited for side by side; a list is quicker than the way to a thread and back.
        asked = [
            None if configured.max_age is None else self._threads.submit(lookup, configured)
            for configured in self.matchers
        ]
        columns = [
            lookup(configured) if service is None else service.result()
            for configured, service in zip(self.matchers, asked, strict=True)
        ]
        return [
            _reply([column[index] for column in columns if column[index] is not None])
            for index in range(len(requests))
        ]

    @property
    def supports_quick_hashes(self) -> bool:
        """Whether every matcher of picture hashes reports which of them it needs exactly."""
        return all(
            isinstance(configured.matcher, QuickHashMatcher)
            or not configured.matcher.accepts & QUICK_ERROR_BITS.keys()
            for configured in self.matchers
        )

    def needs_exact_hash(self, fingerprint: Fingerprint) -> bool:
        """Return whether a quick hash is so near an entry that its error matters."""
        return any(
            isinstance(configured.matcher, QuickHashMatcher)
            and configured.matcher.needs_exact_hash(
                _question(fingerprint, configured.matcher.accepts)
            )
            for configured in self.matchers
        )

    def close(self) -> None:
        """Close every matcher."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for configured in self.matchers:
            configured.matcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Standing:
    """One matcher's answer to one content, and whether it was given just now."""

    answer: Answer
    fresh: Answer | None
    ages: bool


def _ask_one(
    configured: ConfiguredMatcher,
    requests: Sequence[LookupRequest],
    now: float,
    *,
    unavailable: bool,
) -> list[_Standing | None]:
    """Give one matcher's standing answers for all requests, asking for the ones that are due."""
    matcher, revision = configured.matcher, configured.matcher.revision
    ages = configured.max_age is not None
    column: list[_Standing | None] = [None] * len(requests)
    due: dict[int, Query] = {}
    for index, request in enumerate(requests):
        question = _question(request.fingerprint, matcher.accepts)
        if not question:
            continue
        stored = _by_matcher(request.answers).get(matcher.name)
        if stored and configured.is_current(stored, revision, now):
            column[index] = _Standing(stored, None, ages)
        else:
            due[index] = question
    if unavailable:
        left = Answer(matcher.name, Outcome.UNDETERMINED, now, revision)
        left = replace(left, reason=Reason.UNANSWERED, detail=NOT_ASKED_REASON)
        answers = [left] * len(due)
    else:
        answers = matcher.lookup(list(due.values()))
    for index, answer in zip(due, answers, strict=True):
        stored = _by_matcher(requests[index].answers).get(matcher.name)
        column[index] = _Standing(effective_answer(stored, answer), answer, ages)
    return column


def _question(fingerprint: Fingerprint, accepts: frozenset[str]) -> Query:
    """Pick the signals to ask: accepted, reliable, each value once."""
    asked = {
        (signal.type, signal.value): signal
        for signal in fingerprint.signals
        if signal.type in accepts and signal.matchable
    }
    return tuple(asked.values())


def _by_matcher(answers: Sequence[Answer]) -> Mapping[str, Answer]:
    return {answer.matcher: answer for answer in answers}


def _reply(column: Sequence[_Standing | None]) -> LookupResult:
    given = [each for each in column if each is not None]
    return LookupResult(
        answers=tuple(each.answer for each in given),
        new_answers=tuple(each.fresh for each in given if each.fresh),
        asked_at=min((each.answer.asked_at for each in given if each.ages), default=math.inf),
    )

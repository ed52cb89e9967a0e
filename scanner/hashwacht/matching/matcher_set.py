"""All configured matchers: which of them are asked about a content, and their answers."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

from hashwacht.core.ports import ListMatcher, Matcher, Query, QuickHashMatcher
from hashwacht.core.types import QUICK_ERROR_BITS, Answer, Fingerprint, Outcome, Reason, Signal
from hashwacht.core.verdict import effective_answer
from hashwacht.core.views import VIEWED_TYPE, ViewKind, view_kinds

CALLERS = 8
"""Callers that can ask a service at the same time without waiting for each other."""

NOT_ASKED_REASON = "it did not answer recently and is asked again later"
"""Detail of an answer for which the matcher was not asked."""


@dataclass(frozen=True, slots=True)
class ConfiguredMatcher:
    """A matcher; its answers are valid for *max_age* seconds (None: until its revision changes).

    *views* are the kinds of views that it is asked about beside the picture as stored.
    """

    matcher: Matcher
    max_age: float | None = None
    views: frozenset[ViewKind] = frozenset({ViewKind.SHOWN})

    @property
    def revision(self) -> str:
        """The version of what its answers mean: of its knowledge and of the views asked about."""
        return self.matcher.revision + self._suffix

    @property
    def _suffix(self) -> str:
        """Empty for the usual views, and for a matcher whose signals have none."""
        if VIEWED_TYPE not in self.matcher.accepts or self.views == {ViewKind.SHOWN}:
            return ""
        return " views=" + ",".join(sorted(self.views))

    def query(self, fingerprint: Fingerprint) -> Query:
        """Return the signals to look up: accepted, reliable, each value once."""
        accepts = self.matcher.accepts
        signals = {
            (signal.type, signal.value): signal
            for signal in fingerprint.signals
            if signal.type in accepts and self._asks_about(signal)
        }
        return tuple(signals.values())

    def _asks_about(self, signal: Signal) -> bool:
        """Return whether a signal is looked up; services compare by a radius of their own."""
        if not (signal.reliable if self._is_service else signal.matchable):
            return False
        return signal.type != VIEWED_TYPE or view_kinds(signal.variant) <= self.views

    @property
    def _is_service(self) -> bool:
        return self.max_age is not None

    def lookup(self, queries: Sequence[Query]) -> list[Answer]:
        """Return the answers of the matcher, in order."""
        suffix, answers = self._suffix, self.matcher.lookup(queries)
        if not suffix:
            return answers
        return [replace(answer, revision=answer.revision + suffix) for answer in answers]

    def not_before(self, now: float) -> float:
        """Return the date of the oldest answer that is still valid; minus infinity: any."""
        return -math.inf if self.max_age is None else now - self.max_age

    def is_current(self, answer: Answer, revision: str, now: float) -> bool:
        """Return whether a stored answer can be used without asking again."""
        return (
            answer.outcome is not Outcome.UNDETERMINED
            and answer.revision == revision
            and answer.asked_at >= self.not_before(now)
        )


@dataclass(frozen=True, slots=True)
class EarlierAnswers:
    """The answers about some of a content's *signals*, obtained just before the others."""

    signals: frozenset[Signal]
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class LookupRequest:
    """A content to look up, with its stored answers, and those about some of its signals.

    *members* are those of an archive, each with its name.
    """

    fingerprint: Fingerprint
    answers: tuple[Answer, ...] = ()
    earlier: EarlierAnswers | None = None
    members: tuple[tuple[str, LookupRequest], ...] = ()

    @classmethod
    def from_fingerprint(
        cls, fingerprint: Fingerprint, earlier: EarlierAnswers | None = None
    ) -> LookupRequest:
        """Return the request for a content of which nothing is stored, and for its members."""
        members = ((member.name, cls(member.fingerprint)) for member in fingerprint.members)
        return cls(fingerprint, earlier=earlier, members=tuple(members))


@dataclass(frozen=True, slots=True)
class LookupResult:
    """The *answers* for one content that are valid now; *new_answers* are those not yet stored.

    *asked_at* is the date (Unix time) of the oldest answer that expires; infinity if none does.
    """

    answers: tuple[Answer, ...]
    new_answers: tuple[Answer, ...]
    asked_at: float


class MatcherSet:
    """Looks up only what is not known yet, at all matchers in parallel.  Thread-safe."""

    def __init__(self, matchers: Sequence[ConfiguredMatcher]) -> None:
        """Own *matchers*: ``close`` closes them."""
        self.matchers = tuple(matchers)
        # Threads of its own for each service: those that wait for a slow one delay no other.
        self._executors = [
            None if configured.max_age is None else ThreadPoolExecutor(CALLERS, "matcher-set")
            for configured in self.matchers
        ]

    @property
    def accepts(self) -> frozenset[str]:
        """All signal types that at least one matcher accepts."""
        return frozenset().union(*(configured.matcher.accepts for configured in self.matchers))

    @property
    def listed_types(self) -> frozenset[str]:
        """All signal types by which a content can match: those of services, and of entries."""
        return frozenset().union(
            *(
                matcher.listed_types if isinstance(matcher, ListMatcher) else matcher.accepts
                for matcher in (configured.matcher for configured in self.matchers)
            )
        )

    def not_before(self, now: float) -> float:
        """Return the date before which the answers of some matcher have expired."""
        return max((configured.not_before(now) for configured in self.matchers), default=-math.inf)

    @property
    def knowledge_id(self) -> str:
        """All matchers, revisions and validity periods; while it is equal, answers stay valid."""
        return "\n".join(
            f"{configured.matcher.name}\t{configured.revision}\t{configured.max_age}\t"
            + ",".join(sorted(configured.matcher.accepts))
            for configured in self.matchers
        )

    def lookup(
        self, requests: Sequence[LookupRequest], now: float, unavailable: Collection[str] = ()
    ) -> list[LookupResult]:
        """Return the up-to-date answers for every request, in order.

        A matcher is asked about a content only if it accepts one of its signals and its stored
        answer is missing, undetermined, expired or from another revision.  Those named in
        *unavailable* are not asked: their answers are undetermined.
        """
        columns = [_Column(configured, requests, now) for configured in self.matchers]
        # Services are asked in parallel; a local list answers faster than a thread is started.
        # One that need not be asked is not waited for.
        futures = [
            executor.submit(column.ask, now, unavailable)
            if executor is not None and column.is_due
            else None
            for column, executor in zip(columns, self._executors, strict=True)
        ]
        for column, future in zip(columns, futures, strict=True):
            if future is None:
                column.ask(now, unavailable)
            else:
                future.result()
        return [
            _result([answer for column in columns if (answer := column.answers[index]) is not None])
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
            and configured.matcher.needs_exact_hash(configured.query(fingerprint))
            for configured in self.matchers
        )

    def close(self) -> None:
        """Close every matcher."""
        for executor in filter(None, self._executors):
            executor.shutdown(wait=False, cancel_futures=True)
        for configured in self.matchers:
            configured.matcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _CurrentAnswer:
    """The valid answer of one matcher for one content, and the one it just gave, if any."""

    answer: Answer
    new_answer: Answer | None
    expires: bool


class _Column:
    """The answers of one matcher for all requests; *answers* has None where it has no say."""

    def __init__(
        self, configured: ConfiguredMatcher, requests: Sequence[LookupRequest], now: float
    ) -> None:
        """Take what is stored and valid; the rest is due."""
        matcher, revision = configured.matcher, configured.revision
        self._configured, self._expires = configured, configured.max_age is not None
        self.answers: list[_CurrentAnswer | None] = [None] * len(requests)
        self._stored: dict[int, Answer | None] = {}
        self._due: dict[int, Query] = {}
        for index, request in enumerate(requests):
            query = configured.query(request.fingerprint)
            if not query:
                continue
            by_matcher = {answer.matcher: answer for answer in request.answers}
            answer = self._stored[index] = by_matcher.get(matcher.name)
            if answer and configured.is_current(answer, revision, now):
                self.answers[index] = _CurrentAnswer(answer, None, self._expires)
                continue
            early = _earlier_answer(request, configured, now)
            rest = _not_asked(query, request.earlier) if early else query
            if early and not rest:
                current = effective_answer(answer, early)
                self.answers[index] = _CurrentAnswer(current, early, self._expires)
            else:
                self._due[index] = rest if early and early.outcome is Outcome.NO_MATCH else query

    @property
    def is_due(self) -> bool:
        """Whether the matcher has to be asked."""
        return bool(self._due)

    def ask(self, now: float, unavailable: Collection[str]) -> None:
        """Ask for what is due, unless the matcher is *unavailable*."""
        if not self._due:
            return
        name, configured = self._configured.matcher.name, self._configured
        if name in unavailable:
            reason, detail = Reason.UNANSWERED, NOT_ASKED_REASON
            undetermined, revision = Outcome.UNDETERMINED, configured.revision
            answer = Answer(name, undetermined, now, revision, (), reason, detail)
            answers = [answer] * len(self._due)
        else:
            answers = configured.lookup(list(self._due.values()))
        for index, answer in zip(self._due, answers, strict=True):
            current = effective_answer(self._stored[index], answer)
            self.answers[index] = _CurrentAnswer(current, answer, self._expires)


def _earlier_answer(
    request: LookupRequest, configured: ConfiguredMatcher, now: float
) -> Answer | None:
    """Return the answer of a matcher about some of the signals, None if it must be asked again."""
    revision = configured.revision
    for answer in request.earlier.answers if request.earlier else ():
        if answer.matcher == configured.matcher.name:
            return answer if configured.is_current(answer, revision, now) else None
    return None


def _not_asked(query: Query, earlier: EarlierAnswers | None) -> Query:
    return tuple(signal for signal in query if earlier is None or signal not in earlier.signals)


def _result(column: Sequence[_CurrentAnswer]) -> LookupResult:
    answers = tuple(current.answer for current in column)
    new_answers = tuple(current.new_answer for current in column if current.new_answer)
    dates = (current.answer.asked_at for current in column if current.expires)
    return LookupResult(answers, new_answers, min(dates, default=math.inf))

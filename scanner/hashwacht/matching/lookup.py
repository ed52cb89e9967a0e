"""From the signals of a query to the answer of a matcher: what is looked up and what it means.

A matcher answers each signal; :func:`combine` merges these into one answer for the content.  A
single unanswered signal rules out NO_MATCH; only a match outweighs it.

A service answers with hits or a :class:`ServiceFault`.  Each signal of a batch is looked up once,
however many queries contain it.  Details are our own words: those of a library or of the service
may quote the requested address, which for some protocols contains the hash.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from hashwacht.core.ports import Query
from hashwacht.core.types import Answer, Match, Outcome, Reason, Signal
from hashwacht.ipc.messages import ServiceHit, SignalKey


@dataclass(frozen=True, slots=True)
class SignalAnswer:
    """The answer of a matcher for one signal.

    Without *reason* the signal was answered and *matches* is complete (empty: not known).  With
    *reason* it was not, and *detail* explains why to an operator, without any secret or list
    entry.
    """

    matches: tuple[Match, ...] = ()
    reason: Reason | None = None
    detail: str = ""


NOT_KNOWN = SignalAnswer()
"""The signal was answered: it is not known."""


@dataclass(frozen=True, slots=True)
class ServiceFault:
    """Why a service gave no answer.

    *retryable*: the same request may succeed a moment later.  *wait*: the seconds that the
    service asks clients to stay away (Retry-After), or None.
    """

    detail: str
    reason: Reason = Reason.UNANSWERED
    retryable: bool = False
    wait: float | None = None


ServiceAnswer = tuple[ServiceHit, ...] | ServiceFault
"""The answer of a service for one signal: its hits (none: not known) or a fault."""

_HEX_DIGITS = frozenset("0123456789abcdef")


def is_canonical(value: str) -> bool:
    """Return whether *value* is lower-case hexadecimal: nothing else is sent to a service."""
    return bool(value) and _HEX_DIGITS.issuperset(value)


def lookup_keys(queries: Sequence[Query], accepts: Collection[str]) -> list[SignalKey]:
    """Return each accepted signal once, in order of first appearance.

    Raises ValueError for a value that is not lower-case hexadecimal.
    """
    keys = {(signal.type, signal.value): None for query in queries for signal in query}
    accepted = [key for key in keys if key[0] in accepts]
    for signal_type, value in accepted:
        if not is_canonical(value):
            raise ValueError(f"the value of a {signal_type} signal is not lower-case hexadecimal")
    return accepted


def build_answers(
    queries: Sequence[Query],
    answer_for: Callable[[SignalKey], ServiceAnswer | None],
    *,
    matcher: str,
    asked_at: float,
    revision: str,
) -> list[Answer]:
    """Return the answer to every query; *answer_for* returns None for a signal not looked up."""
    answers = []
    for query in queries:
        signals = [_signal_answer(matcher, s, answer_for((s.type, s.value))) for s in query]
        answers.append(combine(matcher, signals, asked_at=asked_at, revision=revision))
    return answers


def combine(
    matcher: str, signals: Iterable[SignalAnswer], *, asked_at: float, revision: str = ""
) -> Answer:
    """Merge the answers for the signals of one query; *asked_at* is Unix time in seconds.

    Any match that is not known-good makes MATCH.  Otherwise the first unanswered signal makes
    UNDETERMINED with its reason (known-good matches are kept with it).  Otherwise known-good
    matches make MATCH, and only if no signal is known the outcome is NO_MATCH.
    """
    answers = tuple(signals)
    if not answers:
        raise ValueError("a query without signals has no answer")
    if all(answer is NOT_KNOWN for answer in answers):  # nearly always
        return Answer(matcher, Outcome.NO_MATCH, asked_at, revision)
    matches = tuple(dict.fromkeys(match for answer in answers for match in answer.matches))
    unanswered = next((answer for answer in answers if answer.reason is not None), None)
    if unanswered is not None and all(match.known_good for match in matches):
        reason, detail = unanswered.reason, unanswered.detail
        return Answer(matcher, Outcome.UNDETERMINED, asked_at, revision, matches, reason, detail)
    outcome = Outcome.MATCH if matches else Outcome.NO_MATCH
    return Answer(matcher, outcome, asked_at, revision, matches)


def _signal_answer(matcher: str, signal: Signal, answer: ServiceAnswer | None) -> SignalAnswer:
    if answer is None:
        return SignalAnswer((), Reason.NOT_JUDGED, f"{matcher} does not accept {signal.type}")
    if isinstance(answer, ServiceFault):
        return SignalAnswer((), answer.reason, f"{matcher}: {answer.detail}")
    hits = (Match(matcher, signal, hit.distance, hit.category, hit.list, hit.id) for hit in answer)
    return SignalAnswer(tuple(hits))

"""From questions to the signals to ask, and from what was said of them to answers.  Pure.

Every signal is asked once a batch, however many questions hold it; types that the service
does not take are passed over and make their question undetermined unless something matched.

A question to a service that got no usable answer: why, in words that give nothing away.

No word here is the far side's or a library's own: those may quote the address asked (which
for some protocols holds the hash) or whatever a broken proxy has sent.

One answer out of what a matcher said of each signal of one content.

Pure.  The rule is law 2 of the design: a single unanswered signal forbids NO_MATCH, and
nothing but a match outweighs it.

What a doctor's harmless question to a service has shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hashwacht.core.ports import Query
from hashwacht.core.types import Answer, Diagnostic, Match, Outcome, Reason, Signal
from hashwacht.ipc.messages import ServiceHit, SignalKey


@dataclass(frozen=True, slots=True)
class ServiceFault:
    """Why there is no answer.

    *retryable* if the same request may well be answered a moment later; *wait* is how many
    seconds the service asks us to stay away (Retry-After), None if it does not say.
    """

    detail: str
    reason: Reason = Reason.UNANSWERED
    retryable: bool = False
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class SignalAnswer:
    """What a matcher said of one signal.

    Without *reason* the signal was answered, and *matches* is the whole answer (empty: not
    known).  With *reason* it was not, and *detail* says in words for an operator what
    happened; neither ever holds a secret or anything out of a hash list.
    """

    matches: tuple[Match, ...] = ()
    reason: Reason | None = None
    detail: str = ""


NOT_KNOWN = SignalAnswer()
"""Answered: not known."""


def combine(
    matcher: str, signals: Iterable[SignalAnswer], *, asked_at: float, revision: str = ""
) -> Answer:
    """Make the answer to one question; *asked_at* is Unix time in seconds.

    Any match that accuses makes MATCH.  Otherwise the first unanswered signal makes
    UNDETERMINED with its reason (matches of known-good lists are kept with it).  Otherwise
    known-good matches make MATCH, and only if every signal was answered with nothing, NO_MATCH.
    """
    heard = tuple(signals)
    if not heard:
        raise ValueError("a question without signals has no answer")
    if all(each is NOT_KNOWN for each in heard):  # nearly always
        return Answer(matcher, Outcome.NO_MATCH, asked_at, revision)
    matches = tuple(dict.fromkeys(match for each in heard for match in each.matches))
    unanswered = next((each for each in heard if each.reason is not None), None)
    accused = any(not match.known_good for match in matches)
    if unanswered is not None and not accused:
        return Answer(
            matcher,
            Outcome.UNDETERMINED,
            asked_at,
            revision,
            matches,
            unanswered.reason,
            unanswered.detail,
        )
    outcome = Outcome.MATCH if matches else Outcome.NO_MATCH
    return Answer(matcher, outcome, asked_at, revision, matches)


PROBE_TEXT = b"hashwacht asks a harmless question"
"""Its digests are the harmless questions: always the same, so that a service can tell them."""

_AS_LONG = {"pdq": "sha256"}

_ADVICE = {
    Reason.REFUSED: "Check the credential with `hashwacht credentials check`, and the account.",
    Reason.UNANSWERED: "Check base URL, proxy, firewall and certificates, and if it is running.",
}


def probe_signals(kinds: Collection[str]) -> list[SignalKey]:
    """Give one signal that nothing has for every type of which we can make one up.

    For pdq that is a digest of its length: random bits, far from every picture's.
    """
    digests = {kind: _AS_LONG.get(kind, kind) for kind in sorted(kinds)}
    return [
        (kind, hashlib.new(digest, PROBE_TEXT).hexdigest())
        for kind, digest in digests.items()
        if digest in {"md5", "sha1", "sha256", "sha512"}
    ]


def evaluate_check(name: str, said: Mapping[SignalKey, ServiceAnswer]) -> Diagnostic:
    """Say how it went with signals that the service cannot know."""
    if not said:
        return Diagnostic(
            name, ok=True, detail="not asked: no harmless question for its signal types"
        )
    for (kind, _), heard in said.items():
        if isinstance(heard, ServiceFault):
            return finding_from_fault(name, heard)
        if heard:
            return Diagnostic(
                name,
                ok=False,
                detail=f"claims to know a {kind} that nobody has",
                advice="Do not act on its matches before its operator has explained this.",
            )
    kinds = ", ".join(kind for kind, _ in said)
    return Diagnostic(name, ok=True, detail=f"answers for {kinds}")


def finding_from_fault(name: str, fault: ServiceFault) -> Diagnostic:
    """Say what is wrong and what to do about it."""
    return Diagnostic(name, ok=False, detail=fault.detail, advice=_ADVICE[fault.reason])


_HEX = frozenset("0123456789abcdef")


ServiceAnswer = tuple[ServiceHit, ...] | ServiceFault
"""All that a service said of one signal: hits (none: not known), or why nothing."""


def lookup_keys(questions: Sequence[Query], accepts: Collection[str]) -> list[SignalKey]:
    """Give every accepted signal once, in the order of its first appearance.

    Raises ValueError for a value that is not lower-case hexadecimal: nothing else may leave.
    """
    keys = {(s.type, s.value): None for question in questions for s in question}
    wanted = [key for key in keys if key[0] in accepts]
    for kind, value in wanted:
        if not value or not _HEX.issuperset(value):
            raise ValueError(f"the value of a {kind} signal is not lower-case hexadecimal")
    return wanted


def build_answers(
    questions: Sequence[Query],
    said: Callable[[SignalKey], ServiceAnswer | None],
    *,
    matcher: str,
    asked_at: float,
    revision: str,
) -> list[Answer]:
    """Answer every question, in order; *said* gives None for a signal that was not asked."""
    return [
        combine(
            matcher,
            [_heard(matcher, signal, said((signal.type, signal.value))) for signal in question],
            asked_at=asked_at,
            revision=revision,
        )
        for question in questions
    ]


def _heard(matcher: str, signal: Signal, said: ServiceAnswer | None) -> SignalAnswer:
    if said is None:
        return SignalAnswer(reason=Reason.NOT_JUDGED, detail=f"{matcher} takes no {signal.type}")
    if isinstance(said, ServiceFault):
        return SignalAnswer(reason=said.reason, detail=f"{matcher}: {said.detail}")
    return SignalAnswer(
        tuple(Match(matcher, signal, hit.distance, hit.category, hit.list, hit.id) for hit in said)
    )

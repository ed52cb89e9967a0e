"""The verdict about a content, from the answers of the matchers.  Pure.

The order of the rules is the point of this file:

1. Bytes on a known-good list (an equal digest) are harmless: every match is suppressed, visibly,
   and no missing answer can change that.
2. A known-good picture hash suppresses only matches by the same kind of hash: a picture *like*
   a known-good one may be a different file that is on a digest list.
3. One remaining match decides.
4. Otherwise everything must have been answered: a matcher without an answer, a signal that could
   not be computed although a matcher accepts it, a signal type that no matcher accepted yet when
   the content was read, or no matcher at all leave the content undetermined.
5. Everything else is no match.

An archive has the worst verdict of itself and its members.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from hashwacht.core.signals import BUILT_IN, DIGESTS
from hashwacht.core.text import truncate
from hashwacht.core.types import MEMBERS, Answer, Fingerprint, Match, Outcome, Reason, Verdict

_DIGEST_NAMES = frozenset(digest.name for digest in DIGESTS)


def effective_answer(former: Answer | None, fresh: Answer) -> Answer:
    """Return which of two answers of one matcher about the same content holds.

    The fresh one, except that a match is not forgotten because a service is out of reach.
    """
    lost = fresh.outcome is Outcome.UNDETERMINED
    if former is not None and former.outcome is Outcome.MATCH and lost:
        return former
    return fresh


def judge(
    fingerprint: Fingerprint, answers: Iterable[Answer], accepted: Collection[str]
) -> Verdict:
    """Return the verdict; *accepted* are the signal types that a configured matcher accepts."""
    received = tuple(answers)
    hits = [match for answer in received for match in answer.matches]
    good = tuple(match for match in hits if match.known_good)
    accusing = [match for match in hits if not match.known_good]
    suppressed = tuple(match for match in accusing if _suppresses(good, match))
    remaining = tuple(match for match in accusing if match not in suppressed)
    if remaining:
        return Verdict(Outcome.MATCH, remaining, suppressed=suppressed, suppressed_by=good)
    if not _same_bytes(good) and (missing := _missing(fingerprint, received, accepted)):
        reason, detail = missing
        return Verdict(Outcome.UNDETERMINED, (), reason, detail, suppressed, good)
    return Verdict(Outcome.NO_MATCH, suppressed=suppressed, suppressed_by=good)


def judge_container(own: Verdict, members: Iterable[tuple[str, Verdict]]) -> Verdict:
    """Return the verdict about an archive from its *own* and those of its *members*, by name.

    A known-good entry for a member suppresses matches of that member only; one for the bytes of
    the archive suppresses all.
    """
    named = [*members]
    matches = [match for name, verdict in named for match in _named(name, verdict.matches)]
    suppressed = [match for name, verdict in named for match in _named(name, verdict.suppressed)]
    good = [match for name, verdict in named for match in _named(name, verdict.suppressed_by)]
    if _same_bytes(own.suppressed_by):
        suppressed, matches = [*suppressed, *matches], []
    undetermined = next((n for n in named if n[1].outcome is Outcome.UNDETERMINED), None)
    combined = replace(
        own,
        matches=(*own.matches, *matches),
        suppressed=(*own.suppressed, *suppressed),
        suppressed_by=(*own.suppressed_by, *good),
    )
    if combined.matches:
        return replace(combined, outcome=Outcome.MATCH, reason=None, detail="")
    is_decided = own.outcome is Outcome.UNDETERMINED or _same_bytes(own.suppressed_by)
    if undetermined is None or is_decided:
        return combined
    name, verdict = undetermined
    detail = f"{name}: {verdict.detail}" if verdict.detail else name
    return replace(
        combined, outcome=Outcome.UNDETERMINED, reason=verdict.reason, detail=truncate(detail, 200)
    )


def _named(name: str, matches: Iterable[Match]) -> Iterator[Match]:
    return (replace(match, member=name) for match in matches)


def _same_bytes(good: Collection[Match]) -> bool:
    """Rule 1: a known-good digest means known-good bytes."""
    return any(match.signal.type in _DIGEST_NAMES for match in good)


def _suppresses(good: Collection[Match], match: Match) -> bool:
    """Rules 1 and 2."""
    return _same_bytes(good) or any(entry.signal.type == match.signal.type for entry in good)


def _missing(
    fingerprint: Fingerprint, answers: Collection[Answer], accepted: Collection[str]
) -> tuple[Reason, str] | None:
    """Rule 4: return what prevents "no match"; None if nothing does."""
    for answer in answers:
        if answer.outcome is Outcome.UNDETERMINED:
            detail = f"{answer.matcher}: {answer.detail}" if answer.detail else answer.matcher
            return answer.reason or Reason.UNANSWERED, detail
    for skip in fingerprint.skipped:
        if (skip.type in accepted or skip.type == MEMBERS) and skip.reason.undetermined:
            return skip.reason, f"{skip.type}: {skip.detail}" if skip.detail else skip.type
    if (lacking := _not_attempted(fingerprint, accepted)) is not None:
        return Reason.NOT_COMPUTED, f"{lacking}: the content must be read again"
    if not answers:
        return Reason.NOT_JUDGED, "no configured matcher accepts a signal of this content"
    return None


def _not_attempted(fingerprint: Fingerprint, accepted: Collection[str]) -> str | None:
    """Return an accepted built-in type that was not attempted and applies to this content.

    A list with another type of signal may be installed after the content was read.
    """
    attempted = {entry.partition("/")[0] for entry in fingerprint.recipe}
    attempted |= {signal.type for signal in fingerprint.signals}
    attempted |= {skip.type for skip in fingerprint.skipped}
    picture = fingerprint.kind.startswith("image/")
    lacking = (
        name
        for name, signal_type in BUILT_IN.items()
        if name in accepted and name not in attempted and (picture or not signal_type.perceptual)
    )
    return next(lacking, None)

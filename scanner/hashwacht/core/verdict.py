"""From what matchers answered to what is known of a content.  Pure.

The order of the rules is the point of this file:

1. Bytes that a known-good list knows (an equal digest) are known to be harmless: every match
   is set aside, visibly, and nothing that is still missing could change that.
2. A known-good picture hash sets aside only matches by the same kind of hash: a picture *like*
   a known-good one may well be a different file that a digest list knows.
3. One accusing match that is left decides.
4. Otherwise everything must have been answered: an unanswered matcher, a signal that could not
   be computed although a matcher would have taken it, or nobody who could be asked at all,
   leave the content undetermined.
5. What remains is no match.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hashwacht.core.signals import DIGESTS
from hashwacht.core.types import Answer, Fingerprint, Match, Outcome, Reason, Verdict

_DIGEST_NAMES = frozenset(each.name for each in DIGESTS)


def effective_answer(former: Answer | None, fresh: Answer) -> Answer:
    """Say which of two answers of one matcher about the same content holds.

    The fresh one, except that a match is not forgotten because a service is out of reach.
    """
    lost = fresh.outcome is Outcome.UNDETERMINED
    if former is not None and former.outcome is Outcome.MATCH and lost:
        return former
    return fresh


def judge(
    fingerprint: Fingerprint, answers: Iterable[Answer], accepted: Collection[str]
) -> Verdict:
    """Say what is known; *accepted* are the signal types that some configured matcher takes."""
    given = tuple(answers)
    hits = [match for answer in given for match in answer.matches]
    good = tuple(match for match in hits if match.known_good)
    accusing = [match for match in hits if not match.known_good]
    suppressed = tuple(match for match in accusing if _suppresses(good, match))
    left = tuple(match for match in accusing if match not in suppressed)
    if left:
        return Verdict(Outcome.MATCH, left, suppressed=suppressed, suppressed_by=good)
    if not _same_bytes(good):
        missing = _missing(fingerprint, given, accepted)
        if missing is not None:
            reason, detail = missing
            return Verdict(
                Outcome.UNDETERMINED,
                reason=reason,
                detail=detail,
                suppressed=suppressed,
                suppressed_by=good,
            )
    return Verdict(Outcome.NO_MATCH, suppressed=suppressed, suppressed_by=good)


def _same_bytes(good: Collection[Match]) -> bool:
    """Rule 1: a digest is known good, so the very bytes are."""
    return any(match.signal.type in _DIGEST_NAMES for match in good)


def _suppresses(good: Collection[Match], match: Match) -> bool:
    """Rules 1 and 2."""
    return _same_bytes(good) or any(each.signal.type == match.signal.type for each in good)


def _missing(
    fingerprint: Fingerprint, answers: Collection[Answer], accepted: Collection[str]
) -> tuple[Reason, str] | None:
    """Rule 4: name what keeps us from saying no match; None if nothing does."""
    for answer in answers:
        if answer.outcome is Outcome.UNDETERMINED:
            detail = f"{answer.matcher}: {answer.detail}" if answer.detail else answer.matcher
            return answer.reason or Reason.UNANSWERED, detail
    for skip in fingerprint.skipped:
        if skip.type in accepted and skip.reason.undetermined:
            return skip.reason, f"{skip.type}: {skip.detail}" if skip.detail else skip.type
    if not answers:
        return Reason.NOT_JUDGED, "no configured matcher accepts a signal of this content"
    return None

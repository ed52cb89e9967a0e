"""One answer out of what a matcher said of each signal of one content.

Pure.  The rule is law 2 of the design: a single unanswered signal forbids NO_MATCH, and
nothing but a match outweighs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hashwacht.core.types import Answer, Match, Outcome, Reason


@dataclass(frozen=True, slots=True)
class Heard:
    """What a matcher said of one signal.

    Without *reason* the signal was answered, and *matches* is the whole answer (empty: not
    known).  With *reason* it was not, and *detail* says in words for an operator what
    happened; neither ever holds a secret or anything out of a hash list.
    """

    matches: tuple[Match, ...] = ()
    reason: Reason | None = None
    detail: str = ""


NOTHING = Heard()
"""Answered: not known."""


def combine(
    matcher: str, signals: Iterable[Heard], *, asked_at: float, revision: str = ""
) -> Answer:
    """Make the answer to one question; *asked_at* is Unix time in seconds.

    Any match that accuses makes MATCH.  Otherwise the first unanswered signal makes
    UNDETERMINED with its reason (matches of known-good lists are kept with it).  Otherwise
    known-good matches make MATCH, and only if every signal was answered with nothing, NO_MATCH.
    """
    heard = tuple(signals)
    if not heard:
        raise ValueError("a question without signals has no answer")
    if all(each is NOTHING for each in heard):  # nearly always
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

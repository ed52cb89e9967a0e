"""From questions to the signals to ask, and from what was said of them to answers.  Pure.

Every signal is asked once a batch, however many questions hold it; types that the service
does not take are passed over and make their question undetermined unless something matched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from hashwacht.matching.answers import Heard, combine
from hashwacht.matching.fault import Fault
from hashwacht.core.ports import Question
from hashwacht.core.types import Answer, Match, Reason, Signal
from hashwacht.ipc.messages import Hit, Key

_HEX = frozenset("0123456789abcdef")


Said = tuple[Hit, ...] | Fault
"""All that a service said of one signal: hits (none: not known), or why nothing."""


def to_ask(questions: Sequence[Question], accepts: Collection[str]) -> list[Key]:
    """Give every accepted signal once, in the order of its first appearance.

    Raises ValueError for a value that is not lower-case hexadecimal: nothing else may leave.
    """
    keys = {(s.type, s.value): None for question in questions for s in question}
    wanted = [key for key in keys if key[0] in accepts]
    for kind, value in wanted:
        if not value or not _HEX.issuperset(value):
            raise ValueError(f"the value of a {kind} signal is not lower-case hexadecimal")
    return wanted


def to_answers(
    questions: Sequence[Question],
    said: Callable[[Key], Said | None],
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


def _heard(matcher: str, signal: Signal, said: Said | None) -> Heard:
    if said is None:
        return Heard(reason=Reason.NOT_JUDGED, detail=f"{matcher} takes no {signal.type}")
    if isinstance(said, Fault):
        return Heard(reason=said.reason, detail=f"{matcher}: {said.detail}")
    return Heard(
        tuple(Match(matcher, signal, hit.distance, hit.category, hit.list, hit.id) for hit in said)
    )

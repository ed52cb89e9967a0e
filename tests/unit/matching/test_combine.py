from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.types import Match, Outcome, Reason, Signal
from hashwacht.matching.lookup import SignalAnswer, combine

BAD = Match("m", Signal("md5", "00" * 16), 0, "csam")
GOOD = Match("m", Signal("md5", "11" * 16), 0, "good", known_good=True)
NOT_KNOWN = SignalAnswer()
SILENCE = SignalAnswer(reason=Reason.UNANSWERED, detail="timed out")

answers = st.lists(
    st.sampled_from(
        [NOT_KNOWN, SILENCE, SignalAnswer((BAD,)), SignalAnswer((GOOD,)), SignalAnswer((GOOD, BAD))]
    ),
    min_size=1,
    max_size=5,
)


@given(answers)
def test_no_match_requires_an_answer_for_every_signal(
    answers_given: list[SignalAnswer],
) -> None:
    answer = combine("m", answers_given, asked_at=1.0)
    assert (answer.outcome is Outcome.NO_MATCH) == all(
        reply == NOT_KNOWN for reply in answers_given
    )


@given(answers)
def test_the_outcome_does_not_depend_on_the_order_of_the_signals(
    answers_given: list[SignalAnswer],
) -> None:
    outcomes = {combine("m", order, asked_at=1.0).outcome for order in permutations(answers_given)}
    assert len(outcomes) == 1


@given(answers)
def test_no_match_of_any_signal_is_lost(answers_given: list[SignalAnswer]) -> None:
    matches = combine("m", answers_given, asked_at=1.0).matches
    assert set(matches) == {match for reply in answers_given for match in reply.matches}
    assert len(matches) == len(set(matches))


def test_a_match_outweighs_an_unanswered_signal() -> None:
    answer = combine("m", [SILENCE, SignalAnswer((BAD,))], asked_at=1.0)
    assert (answer.outcome, answer.reason, answer.matches) == (Outcome.MATCH, None, (BAD,))


def test_a_known_good_match_leaves_it_undetermined() -> None:
    answer = combine("m", [SignalAnswer((GOOD,)), SILENCE], asked_at=1.0, revision="r")
    assert (answer.outcome, answer.reason) == (Outcome.UNDETERMINED, Reason.UNANSWERED)
    assert (answer.detail, answer.matches, answer.revision) == ("timed out", (GOOD,), "r")


def test_a_question_without_signals_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="without signals"):
        combine("m", [], asked_at=1.0)

"""The verdict of a content, rule by rule."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Answer, Fingerprint, Match, Outcome, Reason, Signal, Skip, Verdict
from hashwacht.core.verdict import judge

MD5 = Signal("md5", "a" * 32)
PDQ = Signal("pdq", "b" * 64, quality=90)
PHASH = Signal("phash64", "c" * 16)
ACCEPTED = frozenset({"md5", "pdq", "phash64"})


def fingerprint(*skipped: Skip) -> Fingerprint:
    return Fingerprint("0" * 64, 1, "image/png", (), (MD5, PDQ, PHASH), skipped)


def match(signal: Signal, *, known_good: bool = False) -> Match:
    return Match("lists", signal, 0, "csam", known_good=known_good)


def answer(outcome: Outcome, *matches: Match, reason: Reason | None = None) -> Answer:
    return Answer("lists", outcome, 0.0, matches=matches, reason=reason)


def judged(*answers: Answer, skipped: tuple[Skip, ...] = ()) -> Verdict:
    return judge(fingerprint(*skipped), answers, ACCEPTED)


NO = answer(Outcome.NO_MATCH)
SILENT = answer(Outcome.UNDETERMINED, reason=Reason.UNANSWERED)


def test_one_match_decides_whatever_else_is_missing() -> None:
    verdict = judged(
        answer(Outcome.MATCH, match(MD5)), SILENT, skipped=(Skip("pdq", Reason.DAMAGED),)
    )
    assert verdict.outcome is Outcome.MATCH
    assert verdict.matches == (match(MD5),)


def test_a_matcher_without_an_answer_keeps_the_verdict_open() -> None:
    verdict = judged(NO, SILENT)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNDETERMINED, Reason.UNANSWERED)


def test_no_match_needs_every_answer() -> None:
    assert judged(NO, NO).outcome is Outcome.NO_MATCH


def test_a_missing_usable_signal_leaves_it_undetermined() -> None:
    verdict = judged(NO, skipped=(Skip("pdq", Reason.OVER_LIMIT, "80 million pixels"),))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNDETERMINED, Reason.OVER_LIMIT)
    assert "80 million" in verdict.detail


def test_a_signal_type_that_does_not_apply_is_no_gap() -> None:
    assert judged(NO, skipped=(Skip("pdq", Reason.OTHER_KIND),)).outcome is Outcome.NO_MATCH


def test_a_missing_signal_that_no_matcher_accepts_is_no_gap() -> None:
    assert judged(NO, skipped=(Skip("photodna", Reason.DAMAGED),)).outcome is Outcome.NO_MATCH


def test_a_content_without_any_matcher_is_undetermined() -> None:
    assert judged().reason is Reason.NOT_JUDGED


def test_known_good_bytes_suppress_every_match_and_say_so() -> None:
    verdict = judged(answer(Outcome.MATCH, match(MD5), match(PDQ), match(MD5, known_good=True)))
    assert verdict.outcome is Outcome.NO_MATCH
    assert verdict.suppressed == (match(MD5), match(PDQ))
    assert verdict.suppressed_by == (match(MD5, known_good=True),)


def test_known_good_bytes_need_no_further_answer() -> None:
    good = answer(Outcome.MATCH, match(MD5, known_good=True))
    assert judged(good, SILENT).outcome is Outcome.NO_MATCH


def test_a_known_good_picture_hash_does_not_suppress_a_digest() -> None:
    verdict = judged(answer(Outcome.MATCH, match(MD5), match(PDQ, known_good=True)))
    assert verdict.matches == (match(MD5),)


def test_a_known_good_picture_hash_suppresses_only_its_own_type() -> None:
    verdict = judged(answer(Outcome.MATCH, match(PDQ), match(PHASH), match(PDQ, known_good=True)))
    assert verdict.matches == (match(PHASH),)
    assert verdict.suppressed == (match(PDQ),)


def test_a_known_good_picture_hash_does_not_close_what_is_open() -> None:
    good = answer(Outcome.MATCH, match(PDQ), match(PDQ, known_good=True))
    assert judged(good, SILENT).outcome is Outcome.UNDETERMINED


ANSWERS = st.lists(
    st.sampled_from(
        [
            NO,
            SILENT,
            answer(Outcome.MATCH, match(MD5)),
            answer(Outcome.MATCH, match(PDQ)),
            answer(Outcome.MATCH, match(MD5, known_good=True)),
            answer(Outcome.MATCH, match(PDQ, known_good=True)),
        ]
    ),
    max_size=4,
)


@given(ANSWERS)
def test_no_accusing_match_is_ever_lost(answers: list[Answer]) -> None:
    verdict = judged(*answers)
    accusing = [m for a in answers for m in a.matches if not m.known_good]
    assert sorted(map(str, (*verdict.matches, *verdict.suppressed))) == sorted(map(str, accusing))
    assert (verdict.outcome is Outcome.MATCH) == bool(verdict.matches)


@given(ANSWERS)
def test_the_order_of_matchers_does_not_matter(answers: list[Answer]) -> None:
    outcomes = {judged(*order).outcome for order in itertools.permutations(answers)}
    assert len(outcomes) == 1


@pytest.mark.parametrize("reason", [r for r in Reason if r.undetermined])
def test_every_reason_but_another_kind_keeps_a_verdict_open(reason: Reason) -> None:
    assert judged(NO, skipped=(Skip("pdq", reason),)).outcome is Outcome.UNDETERMINED


@pytest.mark.parametrize("kind", ["image/heic", "text/plain"])
@given(
    accepted=st.sets(st.sampled_from(sorted(BUILT_IN))),
    recipe=st.sets(st.sampled_from(sorted(BUILT_IN))),
)
def test_no_match_needs_every_accepted_type_attempted(
    kind: str, accepted: set[str], recipe: set[str]
) -> None:
    content = Fingerprint("0" * 64, 1, kind, tuple(f"{name}/1" for name in recipe), ())
    needed = {name for name in accepted if kind == "image/heic" or not BUILT_IN[name].perceptual}
    verdict = judge(content, [NO], accepted)
    expected = (
        (Outcome.NO_MATCH, None)
        if needed <= recipe
        else (Outcome.UNDETERMINED, Reason.NOT_COMPUTED)
    )
    assert (verdict.outcome, verdict.reason) == expected

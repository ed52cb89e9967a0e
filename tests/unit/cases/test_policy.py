"""The policy is a pure function and never milder than configured for the worst match."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.cases.policy import PolicyDecision, decide, is_exact
from hashwacht.core.signals import DIGESTS
from hashwacht.core.types import Action, Match, Outcome, Reason, Signal, Verdict
from hashwacht.settings import MatchAction, RootSettings, UndeterminedAction
from support.strategies import matches

EXACT = Match("hashlist", Signal("md5", "0" * 32), 0, "csam")
NEAR = Match("hashlist", Signal("pdq", "0" * 64, 90), 12, "csam")
UNKNOWN = Verdict(Outcome.UNDETERMINED, reason=Reason.UNANSWERED)

GRAVITY = {Action.ALLOW: 0, Action.OBSERVE: 1, Action.HOLD: 2, Action.QUARANTINE: 3}

categories = st.dictionaries(st.sampled_from(("csam", "harmful", "")), st.sampled_from(MatchAction))
roots = st.builds(
    RootSettings,
    name=st.just("www"),
    on_exact_match=st.sampled_from(MatchAction),
    on_similar_match=st.sampled_from(MatchAction),
    on_undetermined=st.sampled_from(UndeterminedAction),
    on_category=categories.map(lambda actions: tuple(actions.items())),
)
matched = st.lists(matches("hashlist"), min_size=1, max_size=4).map(
    lambda values: Verdict(Outcome.MATCH, tuple(values))
)
verdicts = (
    matched
    | st.just(Verdict(Outcome.NO_MATCH))
    | st.sampled_from(Reason).map(lambda reason: Verdict(Outcome.UNDETERMINED, reason=reason))
)


def root(
    on_exact_match: MatchAction = MatchAction.OBSERVE,
    on_similar_match: MatchAction = MatchAction.OBSERVE,
) -> RootSettings:
    return RootSettings("www", on_exact_match=on_exact_match, on_similar_match=on_similar_match)


def test_a_new_installation_only_observes() -> None:
    for match in (EXACT, NEAR):
        decision = decide(Verdict(Outcome.MATCH, (match,)), RootSettings("www"))
        assert decision.action is Action.OBSERVE
    assert decide(UNKNOWN, RootSettings("www")) == PolicyDecision(Action.ALLOW, "undetermined")


def test_equal_bytes_and_near_pictures_are_decided_apart() -> None:
    policy = root(on_exact_match=MatchAction.QUARANTINE, on_similar_match=MatchAction.HOLD)
    assert decide(Verdict(Outcome.MATCH, (EXACT,)), policy) == PolicyDecision(
        Action.QUARANTINE, "on_exact_match"
    )
    assert decide(Verdict(Outcome.MATCH, (NEAR,)), policy) == PolicyDecision(
        Action.HOLD, "on_similar_match"
    )
    verdict = Verdict(Outcome.MATCH, (NEAR, EXACT))
    assert decide(verdict, policy) == PolicyDecision(Action.QUARANTINE, "on_exact_match")


def test_an_equal_picture_hash_is_no_equal_content() -> None:
    assert not is_exact(replace(NEAR, distance=0))
    assert all(
        is_exact(replace(EXACT, signal=Signal(hex_signal_type.name, "0")))
        for hex_signal_type in DIGESTS
    )


def test_a_category_decides_alone_for_its_matches() -> None:
    policy = replace(
        root(on_exact_match=MatchAction.QUARANTINE), on_category=(("csam", MatchAction.OBSERVE),)
    )
    assert decide(Verdict(Outcome.MATCH, (EXACT,)), policy) == PolicyDecision(
        Action.OBSERVE, "on_category.csam"
    )
    match = replace(EXACT, category="harmful")
    assert decide(Verdict(Outcome.MATCH, (EXACT, match)), policy).action is Action.QUARANTINE


@pytest.mark.parametrize(
    ("wish", "action"),
    [(UndeterminedAction.HOLD, Action.HOLD), (UndeterminedAction.ALLOW, Action.ALLOW)],
)
def test_what_is_undetermined_is_never_more_than_held(
    wish: UndeterminedAction, action: Action
) -> None:
    policy = replace(root(on_exact_match=MatchAction.QUARANTINE), on_undetermined=wish)
    assert decide(UNKNOWN, policy) == PolicyDecision(action, "undetermined")


@given(verdict=verdicts, policy=roots, released=st.booleans())
def test_the_same_words_give_the_same_action(
    verdict: Verdict, policy: RootSettings, released: bool
) -> None:
    first = decide(verdict, policy, released=released)
    assert first == decide(verdict, policy, released=released)
    assert first.rule
    if verdict.outcome is Outcome.NO_MATCH:
        assert first.action is Action.ALLOW


@given(verdict=matched, policy=roots)
def test_a_match_is_at_least_observed_unless_released(
    verdict: Verdict, policy: RootSettings
) -> None:
    assert decide(verdict, policy).action is not Action.ALLOW
    assert decide(verdict, policy, released=True) == PolicyDecision(Action.ALLOW, "released")


@given(verdict=matched, policy=roots, more=matched)
def test_more_matches_never_make_it_milder(
    verdict: Verdict, policy: RootSettings, more: Verdict
) -> None:
    combined = replace(verdict, matches=(*verdict.matches, *more.matches))
    action = decide(combined, policy).action
    alone = [decide(combined, policy).action for combined in (verdict, more)]
    assert action is max(alone, key=GRAVITY.__getitem__)


@given(verdict=matched, policy=roots)
def test_a_stricter_policy_is_never_milder(verdict: Verdict, policy: RootSettings) -> None:
    strict = replace(
        policy, on_exact_match=MatchAction.QUARANTINE, on_similar_match=MatchAction.QUARANTINE
    )
    assert GRAVITY[decide(verdict, strict).action] >= GRAVITY[decide(verdict, policy).action]

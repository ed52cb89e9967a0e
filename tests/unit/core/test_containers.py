"""The verdict about an archive is the worst of its own and its members'."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.verdict import judge_container

NAMES = st.text(st.characters(categories=["L"]), min_size=1, max_size=5)
SIGNALS = st.builds(Signal, st.sampled_from(["sha1", "pdq"]), st.text("0123456789abcdef"))
LISTED = st.builds(Match, st.just("hashlist"), SIGNALS, st.just(0), st.just("csam"))
GOOD = st.builds(
    Match, st.just("good"), SIGNALS, st.just(0), st.just("known-good"), known_good=st.just(True)
)
MATCHING = st.builds(
    Verdict, st.just(Outcome.MATCH), st.lists(LISTED, min_size=1, max_size=3).map(tuple)
)
SUPPRESSED = st.builds(
    lambda matches, good: Verdict(Outcome.NO_MATCH, suppressed=matches, suppressed_by=good),
    st.lists(LISTED, min_size=1, max_size=3).map(tuple),
    st.lists(GOOD, min_size=1, max_size=2).map(tuple),
)
UNDETERMINED = st.builds(
    Verdict, st.just(Outcome.UNDETERMINED), reason=st.sampled_from(Reason), detail=NAMES
)
NO_MATCH = st.just(Verdict(Outcome.NO_MATCH))
VERDICTS = st.one_of(MATCHING, SUPPRESSED, UNDETERMINED, NO_MATCH)
MEMBERS = st.lists(st.tuples(NAMES, VERDICTS), max_size=6)

SEVERITY = [Outcome.NO_MATCH, Outcome.UNDETERMINED, Outcome.MATCH]


@given(own=st.one_of(MATCHING, UNDETERMINED, NO_MATCH), members=MEMBERS)
def test_it_is_the_worst(own: Verdict, members: list[tuple[str, Verdict]]) -> None:
    verdict = judge_container(own, members)
    outcomes = [own.outcome, *(member.outcome for _, member in members)]
    assert verdict.outcome is max(outcomes, key=SEVERITY.index)
    assert (verdict.reason is None) == (verdict.outcome is not Outcome.UNDETERMINED)


@given(own=VERDICTS, members=MEMBERS)
def test_no_match_of_a_member_is_lost_and_each_names_it(
    own: Verdict, members: list[tuple[str, Verdict]]
) -> None:
    verdict = judge_container(own, members)
    kept = {(m.member, m.signal) for m in (*verdict.matches, *verdict.suppressed)}
    for name, member in members:
        assert {(name, match.signal) for match in member.matches} <= kept
    assert {("", match.signal) for match in own.matches} <= kept


def test_a_known_good_member_suppresses_nothing_of_others() -> None:
    listed = Match("hashlist", Signal("sha1", "1"), 0, "csam")
    good = Match("good", Signal("sha1", "2"), 0, "known-good", known_good=True)
    suppressed = Verdict(Outcome.NO_MATCH, suppressed=(listed,), suppressed_by=(good,))
    members = [("a.png", suppressed), ("b.png", Verdict(Outcome.MATCH, (listed,)))]
    verdict = judge_container(Verdict(Outcome.NO_MATCH), members)
    assert verdict.outcome is Outcome.MATCH
    assert [match.member for match in verdict.matches] == ["b.png"]


def test_known_good_bytes_of_the_archive_suppress_all() -> None:
    listed = Match("hashlist", Signal("sha1", "1"), 0, "csam")
    good = Match("good", Signal("sha1", "2"), 0, "known-good", known_good=True)
    own = Verdict(Outcome.NO_MATCH, suppressed_by=(good,))
    verdict = judge_container(own, [("b.png", Verdict(Outcome.MATCH, (listed,)))])
    assert verdict.outcome is Outcome.NO_MATCH
    assert [match.member for match in verdict.suppressed] == ["b.png"]

"""The answers of installed lists."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.core.errors import UsageError
from hashwacht.core.hash64 import FULL_RADIUS_QUALITY
from hashwacht.core.signals import BUILT_IN, HexSignalType
from hashwacht.core.types import Answer, Match, Outcome, Reason, Signal
from hashwacht.matching.hashlists.import_result import ImportHandling
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import ListMetadata
from hashwacht.matching.hashlists.matcher import MAX_MATCHES, HashListMatcher

MD5 = Signal("md5", "ab" * 16)
SHA1 = Signal("sha1", "ab" * 20)
PDQ = Signal("pdq", "ab" * 32, quality=90)


@pytest.fixture
def lists(tmp_path: Path) -> HashLists:
    return HashLists(tmp_path / "lists")


@pytest.fixture
def matcher(lists: HashLists) -> HashListMatcher:
    return HashListMatcher(lists.directory, clock=lambda: 7.0)


def _install(lists: HashLists, metadata: ListMetadata, *lines: str) -> None:
    """Install lines, also hashes of flat pictures, which are easy to read."""
    handling = ImportHandling(keep_ubiquitous=True)
    lists.import_list(io.BytesIO("\n".join(lines).encode()), metadata, handling=handling)


def _ask(matcher: HashListMatcher, *signals: Signal) -> Answer:
    [answer] = matcher.lookup([signals])
    return answer


def _flipped(signal: Signal, bits: int) -> Signal:
    """Return a signal that differs in the last *bits* bits."""
    value = int(signal.value, 16) ^ ((1 << bits) - 1)
    return Signal(signal.type, f"{value:0{len(signal.value)}x}")


def test_without_any_list_nothing_is_judged(matcher: HashListMatcher) -> None:
    answer = _ask(matcher, MD5)
    assert (answer.outcome, answer.reason) == (Outcome.UNDETERMINED, Reason.NOT_JUDGED)
    assert answer.detail == "no hash list is installed"
    finding = matcher.check()
    assert not finding.ok
    assert "import" in finding.advice
    assert matcher.accepts == {"md5", "sha1", "sha256"}


def test_lists_of_digests_alone_accept_no_picture_hash(
    lists: HashLists, matcher: HashListMatcher
) -> None:
    _install(lists, ListMetadata("police"), str(MD5))
    assert matcher.accepts == {"md5", "sha1", "sha256"}
    _install(lists, ListMetadata("similar"), str(PDQ))
    assert matcher.accepts == {"md5", "sha1", "sha256", "pdq"}


def test_content_is_judged_by_the_types_that_some_list_holds(
    lists: HashLists, matcher: HashListMatcher
) -> None:
    """A list of MD5 judges a picture although no list holds its PDQ, but not a PDQ alone."""
    _install(lists, ListMetadata("police"), f"md5 {'00' * 16}")
    assert _ask(matcher, MD5, PDQ).outcome is Outcome.NO_MATCH
    alone = _ask(matcher, PDQ)
    assert (alone.outcome, alone.reason) == (Outcome.UNDETERMINED, Reason.NOT_JUDGED)


def test_a_known_good_list_alone_judges_nothing(lists: HashLists, matcher: HashListMatcher) -> None:
    _install(lists, ListMetadata("themes", known_good=True), str(MD5), str(PDQ))
    assert _ask(matcher, SHA1).reason is Reason.NOT_JUDGED
    answer = _ask(matcher, MD5)
    assert answer.outcome is Outcome.UNDETERMINED
    assert answer.matches == (Match("hashlist", MD5, 0, "known-good", "themes", "", True),)
    assert not matcher.check().ok


def test_known_good_picture_hash_excuses_only_itself(
    lists: HashLists, matcher: HashListMatcher
) -> None:
    """Its radius is 0 unless the list sets another."""
    _install(lists, ListMetadata("police"), f"pdq {'00' * 32}")
    _install(lists, ListMetadata("themes", known_good=True), str(PDQ))
    assert _ask(matcher, PDQ).matches[0].known_good
    assert _ask(matcher, _flipped(PDQ, 1)).outcome is Outcome.NO_MATCH
    lists.set_radius("themes", "pdq", 2)
    assert _ask(matcher, _flipped(PDQ, 2)).matches[0].known_good


@pytest.mark.parametrize(
    ("kind", "radius"), [("pdq", 31), ("phash64", 4), ("dhash64", 4), ("sha1", 0)]
)
def test_default_radius(lists: HashLists, matcher: HashListMatcher, kind: str, radius: int) -> None:
    signal = Signal(kind, "5a" * (BUILT_IN[kind].bits // 8))
    _install(lists, ListMetadata("police"), str(signal))
    at_the_edge = _ask(matcher, _flipped(signal, radius))
    assert [match.distance for match in at_the_edge.matches] == [radius]
    assert _ask(matcher, _flipped(signal, radius + 1)).outcome is Outcome.NO_MATCH


def test_radius_given_at_import_and_changed_later(
    lists: HashLists, matcher: HashListMatcher
) -> None:
    _install(lists, ListMetadata("police", radii={"phash64": 8}), f"phash64 {'00' * 8}")
    near = Signal("phash64", "00" * 7 + "ff")
    before = matcher.revision
    assert _ask(matcher, near).outcome is Outcome.MATCH
    lists.set_radius("police", "phash64", 7)
    assert _ask(matcher, near).outcome is Outcome.NO_MATCH
    assert matcher.revision != before


def test_match_carries_the_labels_of_entry_and_list(
    lists: HashLists, matcher: HashListMatcher
) -> None:
    """One value under two labels is two matches; an entry's category outranks the list's."""
    _install(
        lists,
        ListMetadata("mixed", category="other"),
        "sha1,id,category",
        f"{SHA1.value},1,csam",
        f"{SHA1.value},2,",
        f"{SHA1.value},2,",
        f"{'00' * 20},,",
    )
    assert set(_ask(matcher, SHA1).matches) == {
        Match("hashlist", SHA1, 0, "csam", "mixed", "1"),
        Match("hashlist", SHA1, 0, "other", "mixed", "2"),
    }
    [plain] = _ask(matcher, Signal("sha1", "00" * 20)).matches
    assert (plain.category, plain.id) == ("other", "")


def test_all_lists_are_searched_and_listed_nearest_first(
    lists: HashLists, matcher: HashListMatcher
) -> None:
    for index, distance in enumerate((9, 3, 0, 31)):
        _install(lists, ListMetadata(f"list{index}"), str(_flipped(PDQ, distance)))
    answer = _ask(matcher, PDQ)
    assert [(match.list, match.distance) for match in answer.matches] == [
        ("list2", 0), ("list1", 3), ("list0", 9), ("list3", 31)
    ]  # fmt: skip
    assert answer.asked_at == 7.0


def test_matches_are_bounded_but_no_category_is_lost(
    lists: HashLists, matcher: HashListMatcher
) -> None:
    near = [f"{int(PDQ.value, 16) ^ (1 << bit):064x},a,{bit}" for bit in range(200)]
    far = f"{_flipped(PDQ, 30).value},rare,x"
    _install(lists, ListMetadata("police"), "pdq,category,id", *near, far)
    matches = _ask(matcher, PDQ).matches
    assert len(matches) == MAX_MATCHES
    assert [match.distance for match in matches] == [1] * (MAX_MATCHES - 1) + [30]
    assert matches[-1].category == "rare"


def test_type_of_an_operator_is_matched_when_equal(tmp_path: Path) -> None:
    licensed = HexSignalType("licensed", 1152, perceptual=False)
    lists = HashLists(tmp_path / "lists", {**BUILT_IN, "licensed": licensed})
    _install(lists, ListMetadata("own"), f"licensed {'0a' * 144}")
    matcher = HashListMatcher(lists.directory)
    assert "licensed" in matcher.accepts
    assert _ask(matcher, Signal("licensed", "0a" * 144)).outcome is Outcome.MATCH
    assert _ask(matcher, Signal("licensed", "0b" * 144)).outcome is Outcome.NO_MATCH


def test_value_that_is_none_of_its_type_is_undetermined(
    lists: HashLists, matcher: HashListMatcher
) -> None:
    _install(lists, ListMetadata("police"), str(MD5))
    for value in ("ab", "zz" * 16):
        answer = _ask(matcher, Signal("md5", value))
        assert (answer.outcome, answer.reason) == (Outcome.UNDETERMINED, Reason.UNANSWERED)


def test_closed_matcher_says_so(lists: HashLists, matcher: HashListMatcher) -> None:
    _install(lists, ListMetadata("police"), str(MD5))
    matcher.close()
    with pytest.raises(UsageError, match="closed"):
        matcher.lookup([(MD5,)])


def test_revision_follows_the_lists(lists: HashLists, matcher: HashListMatcher) -> None:
    """Every change gives another revision, and equal content the same one."""
    revisions = [matcher.revision]
    _install(lists, ListMetadata("a"), str(MD5))
    revisions.append(matcher.revision)
    _install(lists, ListMetadata("b"), str(SHA1))
    revisions.append(matcher.revision)
    _install(lists, ListMetadata("b", category="other"), str(SHA1))
    revisions.append(matcher.revision)
    _install(lists, ListMetadata("b", category="other"), str(SHA1), str(PDQ))
    revisions.append(matcher.revision)
    assert len(set(revisions)) == len(revisions)
    lists.remove("b")
    assert matcher.revision == revisions[1]
    _install(lists, ListMetadata("a"), str(MD5))
    assert matcher.revision == revisions[1]


_VALUES = st.lists(
    st.tuples(st.sampled_from(["md5", "sha1", "sha256"]), st.binary(min_size=1, max_size=1)),
    min_size=1,
    max_size=12,
)


@given(known=_VALUES, asked=_VALUES)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_after_an_import_exactly_its_values_match(
    lists: HashLists,
    matcher: HashListMatcher,
    known: Sequence[tuple[str, bytes]],
    asked: Sequence[tuple[str, bytes]],
) -> None:
    def signal(kind: str, byte: bytes) -> Signal:
        return Signal(kind, (byte * (BUILT_IN[kind].bits // 8)).hex())

    _install(lists, ListMetadata("police"), *(str(signal(*value)) for value in known))
    types = {kind for kind, _ in known}
    answers = matcher.lookup([(signal(*value),) for value in (*known, *asked)])
    for value, answer in zip((*known, *asked), answers, strict=True):
        if value in known:
            assert answer.outcome is Outcome.MATCH
        else:
            outcome = Outcome.NO_MATCH if value[0] in types else Outcome.UNDETERMINED
            assert answer.outcome is outcome


@pytest.mark.parametrize("quick", ["", "quick"])
def test_quality_limits_the_distance_of_a_64_bit_hash(
    lists: HashLists, matcher: HashListMatcher, quick: str
) -> None:
    entry = Signal("dhash64", "9271e0d0b4cc2a5d")
    _install(lists, ListMetadata("police"), str(entry).replace(":", " "))
    for bits, quality, outcome in (
        (4, FULL_RADIUS_QUALITY, Outcome.MATCH),
        (4, FULL_RADIUS_QUALITY - 1, Outcome.NO_MATCH),
        (3, 50, Outcome.MATCH),
        (1, 49, Outcome.NO_MATCH),
        (0, 49, Outcome.MATCH),
    ):
        exact = Signal("dhash64", _flipped(entry, bits).value, quality)
        assert _ask(matcher, exact).outcome is outcome
        near = Signal("dhash64", _flipped(entry, bits).value, quality, quick)
        if quick:
            assert _ask(matcher, near).reason is Reason.NEEDS_EXACT_HASH

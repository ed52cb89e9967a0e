"""Two fingerprints of the same bytes are merged into one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.types import Fingerprint, Reason, Signal, Skip
from hashwacht.storage.contents import merge_fingerprints, queryable_types
from support.strategies import fingerprints

KEY = "ab" * 32
SHA1 = Signal("sha1", "01" * 20)
PDQ = Signal("pdq", "02" * 32, 90)
OTHER_PDQ = Signal("pdq", "03" * 32, 80)


def looked(recipe: str, *signals: Signal, skipped: tuple[Skip, ...] = ()) -> Fingerprint:
    return Fingerprint(KEY, 5, "image/jpeg", tuple(recipe.split()), signals, skipped)


def test_a_signal_type_not_attempted_before_is_added() -> None:
    better = merge_fingerprints(looked("sha1/1", SHA1), looked("pdq/1", PDQ))
    assert set(better.recipe) == {"sha1/1", "pdq/1"}
    assert set(better.signals) == {SHA1, PDQ}


def test_a_fresh_signal_replaces_the_former_one_of_its_type() -> None:
    better = merge_fingerprints(looked("pdq/1", PDQ), looked("pdq/2", OTHER_PDQ))
    assert better.recipe == ("pdq/2",)
    assert better.signals == (OTHER_PDQ,)


def test_a_signal_replaces_the_reason_why_it_was_missing() -> None:
    missing = looked("pdq/1", skipped=(Skip("pdq", Reason.TIMED_OUT),))
    assert merge_fingerprints(missing, looked("pdq/1", PDQ)) == looked("pdq/1", PDQ)


def test_a_failure_keeps_former_signals_of_the_same_version() -> None:
    failed = looked("pdq/1", skipped=(Skip("pdq", Reason.WORKER_DIED),))
    assert merge_fingerprints(looked("pdq/1", PDQ), failed) == looked("pdq/1", PDQ)


def test_a_partial_fresh_result_replaces_the_former_one() -> None:
    part = looked("pdq/1", OTHER_PDQ, skipped=(Skip("pdq", Reason.OVER_LIMIT, "frames"),))
    assert merge_fingerprints(looked("pdq/1", PDQ), part) == part
    assert merge_fingerprints(part, part) == part


def test_signals_of_an_older_version_do_not_replace_a_failure() -> None:
    failed = looked("pdq/2", skipped=(Skip("pdq", Reason.WORKER_DIED),))
    assert merge_fingerprints(looked("pdq/1", PDQ), failed) == failed


def test_a_newer_kind_replaces_the_signals_of_the_former() -> None:
    """``other-kind`` is not a failure: the content hashed as a picture was not one."""
    fingerprint = looked("pdq/1", skipped=(Skip("pdq", Reason.OTHER_KIND),))
    assert merge_fingerprints(looked("pdq/1", PDQ), fingerprint) == fingerprint


@given(fingerprints(st.just(KEY)))
def test_the_same_fingerprint_twice_changes_nothing(fingerprint: Fingerprint) -> None:
    assert merge_fingerprints(fingerprint, fingerprint) == fingerprint


@given(fingerprints(st.just(KEY)), fingerprints(st.just(KEY)))
def test_every_type_of_both_recipes_is_accounted_for_once(
    former: Fingerprint, fresh: Fingerprint
) -> None:
    better = merge_fingerprints(former, fresh)
    types = [entry.partition("/")[0] for entry in better.recipe]
    assert len(types) == len(set(types))
    recipe = (*former.recipe, *fresh.recipe)
    assert set(types) == {entry.partition("/")[0] for entry in recipe}
    assert {s.type for s in better.signals} | {s.type for s in better.skipped} == set(types)


def test_only_signals_of_sufficient_quality_count_as_askable() -> None:
    poor = Signal("pdq", "02" * 32, 49), Signal("phash64", "0" * 16, 49)
    assert queryable_types(looked("", SHA1, *poor)) == ("phash64", "sha1"), "matched by equality"
    assert queryable_types(looked("", SHA1, PDQ)) == ("pdq", "sha1")

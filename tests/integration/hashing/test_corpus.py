"""A hostile upload costs at most its own worker, its time budget, and its picture hashes."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Iterator

import pytest

from demo.pictures import ENCODERS, encode, photo
from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing.workers.pool import WorkerPool
from support.fingerprints import fingerprint_bytes
from support.hostile.hostile import HASHED, Hostile, corpus, mutations

SECONDS = 1.0
PLAN = Plan(("sha256", "md5", "pdq"), Limits(timeout=SECONDS, max_memory=512 << 20))
GRACE = 2.0
"""Seconds beyond the budget: the pool's own grace, a fresh worker, a busy machine."""

CORPUS = corpus()
KNOWN = 30
"""Pictures on a list; none of them is among the mutated ones."""
UNTIMED = [content for content in CORPUS if Reason.TIMED_OUT not in content.expected]
"""Whose result does not depend on the time that it may take."""


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(PLAN, 1) as pool:
        yield pool


@pytest.fixture(scope="module")
def listed(pool: WorkerPool) -> list[str]:
    """Return the hashes of a list."""
    contents = (encode(photo(seed, (96, 80)), "png") for seed in range(100, 100 + KNOWN))
    return [
        s.value
        for content in contents
        for s in fingerprint(pool, content).signals
        if s.type == "pdq"
    ]


def fingerprint(pool: WorkerPool, content: bytes) -> Fingerprint:
    """Return the fingerprint; check that it has every digest."""
    fingerprint = fingerprint_bytes(pool, content)
    assert fingerprint.key == hashlib.sha256(content).hexdigest()
    assert fingerprint.size == len(content)
    digests = {s.type: s.value for s in fingerprint.signals if s.type != "pdq"}
    assert digests == {"sha256": fingerprint.key, "md5": hashlib.md5(content).hexdigest()}
    return fingerprint


def fate(fingerprint: Fingerprint) -> Reason | None:
    """Return the outcome of the picture hash; check that it is reported."""
    reasons = [skip.reason for skip in fingerprint.skipped if skip.type == "pdq"]
    assert reasons or any(s.type == "pdq" for s in fingerprint.signals)
    return reasons[0] if reasons else HASHED


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)
def test_a_hostile_content_meets_its_expected_fate(pool: WorkerPool, hostile: Hostile) -> None:
    result = fingerprint(pool, hostile.make())
    assert fate(result) in hostile.expected, result.skipped
    assert all(skip.detail or not skip.reason.undetermined for skip in result.skipped)


@pytest.mark.alone  # measures time
def test_no_content_takes_longer_than_the_budget(pool: WorkerPool) -> None:
    for hostile in CORPUS:
        content = hostile.make()
        began = time.monotonic()
        fingerprint(pool, content)
        assert time.monotonic() - began < SECONDS + GRACE, hostile.name


@pytest.mark.parametrize("hostile", UNTIMED, ids=lambda content: content.name)
def test_confinement_changes_no_answer(pool: WorkerPool, hostile: Hostile) -> None:
    """A file or module that the sandbox hides would show here as false damage."""
    content = hostile.make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pytest turns them into errors, workers do not
        here = fingerprint_bytes(InProcessFingerprinter(PLAN), content)
    assert fingerprint(pool, content) == here


def test_good_pictures_are_as_good_after_all_of_it(pool: WorkerPool) -> None:
    assert fate(fingerprint(pool, encode(photo(1)))) is HASHED


@pytest.mark.parametrize("name", ENCODERS)
def test_a_mutated_picture_is_harmless_and_matches_nothing(
    pool: WorkerPool, listed: list[str], name: str
) -> None:
    """No crash reaches the scanner, and no picture hash is close to a listed one."""
    distance = BUILT_IN["pdq"].distance
    for content in mutations(name, 25):
        result = fingerprint(pool, content)
        fate(result)
        for signal in result.signals:
            if signal.type == "pdq" and signal.matchable:
                assert min(distance(signal.value, value) for value in listed) > 31

"""Quick hashes decide nothing: verdicts equal those of exact hashes."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.pictures import encode, grainy, photo
from hashwacht.core.types import QUICK_ERROR_BITS, Match, Outcome, Reason, Signal
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing.quick_then_exact import QuickThenExact
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import DEFAULT_RADII, ListMetadata
from hashwacht.matching.hashlists.matcher import HashListMatcher
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.pipeline import Pipeline
from hashwacht.scan.recheck_run import Recheck
from hashwacht.scan.scan import ScanRequest, ScanRun
from hashwacht.storage.store import Store
from hashwacht.testing.fakes import CountingFingerprinter, RememberingObserver
from hashwacht.walk.rules import ExclusionRules

TYPES = ("md5", "pdq", "phash64", "dhash64")
PLANNED = (*TYPES, "md5", "sha1", "sha256")
"""A hash list matcher accepts all digests, so contents without them would be undetermined."""

Known = list[tuple[str, str]]

LISTED, OTHER = (random.Random(seed).randbytes(32).hex() for seed in (91, 92))
"""PDQ values that are not those of a pattern."""

never = threading.Event
"""A stop event that is never set."""


def exact(path: Path) -> dict[str, Signal]:
    with path.open("rb") as file:
        fingerprint = InProcessFingerprinter(Plan(TYPES)).fingerprint(file.fileno())
    return {signal.type: signal for signal in fingerprint.signals}


def moved(value: str, bits: int, chance: random.Random) -> str:
    number = int(value, 16)
    for bit in chance.sample(range(len(value) * 4), bits):
        number ^= 1 << bit
    return f"{number:0{len(value)}x}"


def install(folder: Path, known: Known) -> HashListMatcher:
    lines = "\n".join(f"{name} {value}" for name, value in known)
    HashLists(folder).import_list(io.BytesIO(lines.encode()), ListMetadata("bad"))
    return HashListMatcher(folder, clock=lambda: 7.0)


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[int], Path]:
    """Return a function that writes the JPEG of a seed, in many sizes, qualities and kinds."""

    def written(seed: int) -> Path:
        chance = random.Random(seed)
        image = photo(seed, (chance.randint(140, 1300), chance.randint(140, 1100)))
        if seed % 3 == 0:
            image = grainy(image, 12, seed)
        path = tmp_path / f"{seed}.jpg"
        options = {"quality": chance.randint(40, 95), "progressive": seed % 2 == 0}
        path.write_bytes(encode(image, "jpeg", **options))
        return path

    return written


def test_quick_and_exact_verdicts_agree_at_every_distance(
    tmp_path: Path, picture: Callable[[int], Path]
) -> None:
    """Outcome, entries and distances are equal; most pictures are hashed only once."""
    paths = [picture(seed) for seed in range(60)]
    chance, lists = random.Random(5), Known()
    for number, path in enumerate(paths[:40]):
        name = ("pdq", "pdq", "phash64", "dhash64")[number % 4]
        reach = QUICK_ERROR_BITS[name] + 1
        around = max(0, DEFAULT_RADII[name] + chance.randint(-reach, reach))
        lists.append((name, moved(exact(path)[name].value, around, chance)))
    matcher = install(tmp_path / "lists", lists)
    fingerprinter = CountingFingerprinter(InProcessFingerprinter(Plan(PLANNED)))
    quick = InProcessFingerprinter(Plan(PLANNED, quick=True))

    def verdict(pipeline: Pipeline, path: Path) -> tuple[Outcome, tuple[Match, ...]]:
        with path.open("rb") as file:
            result = pipeline.check_private(file.fileno()).verdict
        return result.outcome, result.matches

    with MatcherSet([ConfiguredMatcher(matcher)]) as panel:
        exactly = Pipeline(InProcessFingerprinter(Plan(PLANNED)), panel)
        quickly = Pipeline(
            QuickThenExact(quick, lambda: fingerprinter, panel.needs_exact_hash), panel
        )
        expected = [verdict(exactly, path) for path in paths]
        assert [verdict(quickly, path) for path in paths] == expected
    outcomes = [outcome for outcome, _ in expected]
    assert outcomes.count(Outcome.MATCH) >= 10
    assert outcomes[:40].count(Outcome.NO_MATCH) >= 10
    assert 20 <= fingerprinter.read <= 40


@pytest.mark.parametrize("off", [0, 21, 22, 31, 32, 41, 42])
def test_a_quick_hash_alone_is_certain_only_outside_the_band(tmp_path: Path, off: int) -> None:
    value = moved(LISTED, off, random.Random(1))
    matcher = install(tmp_path / "lists", [("pdq", value)])
    signal = Signal("pdq", LISTED, 100, "quick")
    [answer] = matcher.lookup([(signal,)])
    if off <= 21:
        assert (answer.outcome, answer.reason) == (Outcome.MATCH, None)
    elif off <= 41:
        assert (answer.outcome, answer.reason) == (Outcome.UNDETERMINED, Reason.NEEDS_EXACT_HASH)
    else:
        assert answer.outcome is Outcome.NO_MATCH
    assert matcher.needs_exact_hash((signal,)) == (off <= 41)
    assert not matcher.needs_exact_hash((Signal("pdq", LISTED, 100),))


def test_what_was_far_from_one_list_is_searched_again_in_another(tmp_path: Path) -> None:
    matcher = install(tmp_path / "lists", [("pdq", OTHER)])
    signal = Signal("pdq", LISTED, 100, "quick")
    assert not matcher.needs_exact_hash((signal,))
    assert [answer.outcome for answer in matcher.lookup([(signal,)] * 2)] == [Outcome.NO_MATCH] * 2
    assert not matcher.needs_exact_hash((signal,))
    install(tmp_path / "lists", [("pdq", LISTED)])
    assert matcher.lookup([(signal,)])[0].outcome is Outcome.MATCH


def test_a_possible_known_good_entry_requires_exact_hashes(tmp_path: Path) -> None:
    matcher = install(tmp_path / "lists", [("pdq", LISTED)])
    good = f"pdq {moved(LISTED, 5, random.Random(2))}".encode()
    HashLists(tmp_path / "lists").import_list(
        io.BytesIO(good), ListMetadata("good", known_good=True)
    )
    [answer] = matcher.lookup([(Signal("pdq", LISTED, 100, "quick"),)])
    assert (answer.outcome, answer.reason) == (Outcome.UNDETERMINED, Reason.NEEDS_EXACT_HASH)


@pytest.mark.parametrize("rechecked", [False, True])
def test_a_list_that_comes_later_decides_by_exact_hashes_too(
    tmp_path: Path, picture: Callable[[int], Path], *, rechecked: bool
) -> None:
    """The stored hash is quick: a recheck reports that, and a scan reads just that file again."""
    paths = [picture(seed) for seed in range(8)]
    near = moved(exact(paths[3])["pdq"].value, 31, random.Random(3))
    tree, lists = tmp_path / "tree", tmp_path / "lists"
    tree.mkdir()
    for path in paths:
        path.rename(tree / path.name)
    install(lists, [("pdq", OTHER)])
    counting = CountingFingerprinter(InProcessFingerprinter(Plan(PLANNED, quick=True)))

    def panel() -> MatcherSet:
        return MatcherSet([ConfiguredMatcher(HashListMatcher(lists))])

    def scan(store: Store) -> RememberingObserver:
        observer = RememberingObserver()
        request = ScanRequest((bytes(tree),), ExclusionRules([]), jobs=2)
        matchers = panel()
        fingerprinter = QuickThenExact(
            counting, lambda: InProcessFingerprinter(Plan(PLANNED)), matchers.needs_exact_hash
        )
        pipeline = Pipeline(fingerprinter, matchers)
        ScanRun(
            store=store, pipeline=pipeline, request=request, observer=observer, stop=never()
        ).run()
        return observer

    def recheck(store: Store) -> RememberingObserver:
        observer = RememberingObserver()
        Recheck(store=store, matcher_set=panel(), observer=observer, stop=never()).run()
        return observer

    with Store.open(tmp_path / "state") as store:
        assert scan(store).summary.counts.matches == 0
        install(lists, [("pdq", OTHER), ("pdq", near)])
        if rechecked:
            assert recheck(store).reasons() == {bytes(tree / "3.jpg"): Reason.NEEDS_EXACT_HASH}
        assert scan(store).paths(Outcome.MATCH) == {bytes(tree / "3.jpg")}
        assert counting.read == 8 + 1
        assert scan(store).summary.counts.undetermined == 0
        assert counting.read == 8 + 1

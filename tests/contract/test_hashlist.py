"""The hash list matcher passes the contract of all matchers, with and without bands."""

from __future__ import annotations

import io
import random
from functools import partial
from pathlib import Path

import pytest

from hashwacht.core.types import Signal
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import ListMetadata
from hashwacht.matching.hashlists.matcher import HashListMatcher
from hashwacht.testing.matcher_contract import MatcherCase, MatcherContract

COUNT = 17_000  # enough for a PDQ list with bands
PDQ = random.Random(9).randbytes(32).hex()  # not the value of a pattern


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("installed") / "lists"
    chance = random.Random(5)
    lines = [f"pdq {chance.randbytes(32).hex()}" for _ in range(COUNT)]
    lines += [f"sha1 {chance.randbytes(20).hex()}" for _ in range(50)]
    lines += [f"pdq {PDQ}", f"sha1 {'0f' * 20}"]
    HashLists(directory).import_list(io.BytesIO("\n".join(lines).encode()), ListMetadata("police"))
    return directory


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return another directory, whose list files have lost their last byte."""
    directory = tmp_path_factory.mktemp("damaged") / "lists"
    document = f"pdq {PDQ}\nsha1 {'0f' * 20}\n"
    HashLists(directory).import_list(io.BytesIO(document.encode()), ListMetadata("police"))
    for path in directory.glob("*/*.index"):
        path.write_bytes(path.read_bytes()[:-1])
    return directory


class TestHashListOfDigests(MatcherContract):
    @pytest.fixture
    def case(self, lists: Path, damaged: Path) -> MatcherCase:
        return MatcherCase(
            open=partial(HashListMatcher, lists),
            broken=partial(HashListMatcher, damaged),
            known=Signal("sha1", "0f" * 20),
            unknown=Signal("sha1", "f0" * 20),
            category="csam",
        )


class TestHashListOfPictureHashes(MatcherContract):
    @pytest.fixture
    def case(self, lists: Path, damaged: Path) -> MatcherCase:
        return MatcherCase(
            open=partial(HashListMatcher, lists, "local"),
            broken=partial(HashListMatcher, damaged, "local"),
            known=Signal("pdq", f"{int(PDQ, 16) ^ 0xF0F0F0F0:064x}", quality=100),
            unknown=Signal("pdq", "f0" * 32, quality=50),
            category="csam",
        )

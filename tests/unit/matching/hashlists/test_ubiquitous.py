"""Entries that match ordinary files everywhere are left out, and named."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from hashwacht.cli.render.list_text import list_lines
from hashwacht.core.errors import ListError
from hashwacht.core.types import Fingerprint, Outcome, Signal, Verdict
from hashwacht.core.verdict import judge
from hashwacht.hashing.pdq import pdq
from hashwacht.matching.hashlists.import_result import ImportHandling
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import MANIFEST, ListMetadata
from hashwacht.matching.hashlists.matcher import HashListMatcher
from hashwacht.matching.hashlists.ubiquitous import DIGEST_TYPES, REGULAR, ubiquitous_digests

SPECIFIC = f"md5 {'0123456789abcdef' * 2}\n"
KEEP = ImportHandling(keep_ubiquitous=True)
SPACER = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002014400 3b"
)


@pytest.fixture
def lists(tmp_path: Path) -> HashLists:
    return HashLists(tmp_path / "lists")


def _digest(kind: str, content: bytes) -> Signal:
    return Signal(kind, hashlib.new(kind, content).hexdigest())


def _verdict(lists: HashLists, *signals: Signal) -> Verdict:
    matcher = HashListMatcher(lists.directory)
    recipe = tuple(f"{signal.type}/1" for signal in signals)
    fingerprint = Fingerprint("00" * 32, 0, "text/plain", recipe, signals)
    return judge(fingerprint, matcher.lookup([signals]), {signal.type for signal in signals})


def _outcome(lists: HashLists, *signals: Signal) -> Outcome:
    return _verdict(lists, *signals).outcome


@pytest.mark.parametrize("kind", sorted(DIGEST_TYPES))
@pytest.mark.parametrize("content", [b"", b"\n", b"x", bytes(4096), SPACER])
def test_digest_of_ubiquitous_content_is_left_out(
    lists: HashLists, kind: str, content: bytes
) -> None:
    signal = _digest(kind, content)
    document = f"{SPECIFIC}{kind} {signal.value}\n".encode()
    result = lists.import_list(io.BytesIO(document), ListMetadata("police"))
    assert result.list.entries == 1
    assert sum(result.list.ubiquitous.values()) == 1
    assert _outcome(lists, signal, Signal("md5", "00" * 16)) is Outcome.NO_MATCH
    kept = lists.import_list(io.BytesIO(document), ListMetadata("police"), handling=KEEP)
    assert kept.list.entries == 2
    assert _outcome(lists, signal) is Outcome.MATCH
    assert all(finding.ok for finding in lists.verify())
    assert "as asked" in lists.verify()[-1].detail


def test_digests_of_all_types_are_of_the_same_contents() -> None:
    names = [sorted(ubiquitous_digests(kind).values()) for kind in DIGEST_TYPES]
    assert names[0] == names[1] == names[2]
    assert any("WordPress" in name for name in names[0])
    assert any("Drupal" in name for name in names[0])


@pytest.mark.parametrize("size", [64, 256, 512])
@pytest.mark.parametrize("grey", [0, 255])
def test_hash_of_a_flat_picture_is_left_out(lists: HashLists, size: int, grey: int) -> None:
    value = pdq(np.full((size, size, 3), grey, np.uint8)).hashes[""]
    document = f"{SPECIFIC}pdq {value}\nphash64 8000000000000000\ndhash64 {'0' * 16}\n".encode()
    result = lists.import_list(io.BytesIO(document), ListMetadata("police"))
    assert result.list.ubiquitous == {"flat picture hash": 3}
    assert set(result.list.types) == {"md5"}


def test_picture_hash_of_low_quality_is_left_out(lists: HashLists) -> None:
    row = f"{'0123456789abcdef' * 4},%d\n"
    document = f"pdq,quality\n{row % 49}{row.replace('0123', '3210') % 50}".encode()
    result = lists.import_list(io.BytesIO(document), ListMetadata("police"))
    assert result.list.ubiquitous == {"picture hash of a quality below 50": 1}
    assert result.list.entries == 1


@pytest.mark.parametrize("entry", ["dhash64 0f0f0f0ff0f0f0f0", "phash64 cccc333333cccccc"])
def test_64_bit_hash_of_a_regular_picture_is_left_out(lists: HashLists, entry: str) -> None:
    kind, value = entry.split()
    document = f"{SPECIFIC}{entry}\n".encode()
    result = lists.import_list(io.BytesIO(document), ListMetadata("police"))
    assert result.list.ubiquitous == {REGULAR: 1}
    assert any(REGULAR in line for line in list_lines(lists.get("police")))
    assert _outcome(lists, Signal(kind, value), Signal("md5", "00" * 16)) is Outcome.NO_MATCH
    lists.import_list(io.BytesIO(document), ListMetadata("police"), handling=KEEP)
    assert _outcome(lists, Signal(kind, value)) is Outcome.MATCH


def test_known_good_list_keeps_ubiquitous_contents(lists: HashLists) -> None:
    signal = _digest("sha1", b"")
    good = ListMetadata("good", known_good=True)
    result = lists.import_list(io.BytesIO(f"sha1 {signal.value}".encode()), good)
    assert result.list.entries == 1
    assert result.list.ubiquitous == {}


def test_list_of_ubiquitous_contents_alone_is_no_list(lists: HashLists) -> None:
    document = f"sha1 {_digest('sha1', b'').value}".encode()
    with pytest.raises(ListError, match="sha1 of the empty file") as raised:
        lists.import_list(io.BytesIO(document), ListMetadata("police"))
    assert "--keep-ubiquitous" in raised.value.advice
    assert lists.all() == []


def _forget_screening(lists: HashLists) -> None:
    """Rewrite the manifest as versions without the screening wrote it."""
    path = lists.directory / MANIFEST
    document = json.loads(path.read_text())
    for fields in document["lists"]:
        for name in ("format", "screened", "keeps_ubiquitous", "ubiquitous", "left_out"):
            del fields[name]
    path.write_text(json.dumps(document))


def test_list_of_an_earlier_version_is_suppressed_and_named(lists: HashLists) -> None:
    empty, specific = _digest("md5", b""), Signal("md5", "0123456789abcdef" * 2)
    document = f"{SPECIFIC}{empty}\npdq {'00' * 32}\n".encode()
    lists.import_list(io.BytesIO(document), ListMetadata("police"), handling=KEEP)
    kept = HashListMatcher(lists.directory).revision
    _forget_screening(lists)
    verdict = _verdict(lists, empty)
    assert verdict.outcome is Outcome.NO_MATCH
    assert [match.list for match in verdict.suppressed] == ["police"]
    assert [match.id for match in verdict.suppressed_by] == ["the empty file"]
    assert _outcome(lists, specific) is Outcome.MATCH
    assert HashListMatcher(lists.directory).revision != kept
    (finding,) = (finding for finding in lists.verify() if not finding.ok)
    assert "md5 of the empty file (1)" in finding.detail
    assert "flat picture hash (1)" in finding.detail
    assert "Import the list again" in finding.advice

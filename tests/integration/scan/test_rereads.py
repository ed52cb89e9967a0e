"""A scan does not trust the times of files for ever."""

from __future__ import annotations

import hashlib
import mmap
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pillow_heif
import pytest

from demo.pictures import encode, photo
from hashwacht.core.types import FileId, Outcome
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.storage.store import Store
from support.browser.renderer import pdq
from support.clock import Clock
from support.scan_harness import ScanHarness

DAY = 86400.0
KNOWN = b"known"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def clock(harness: ScanHarness) -> Clock:
    harness.clock = clock = Clock()
    harness.request = replace(harness.request, reread_interval=10 * DAY)
    harness.matcher.known = {sha256(KNOWN)}
    return clock


def exchange(harness: ScanHarness, path: Path, content: bytes) -> None:
    """Replace the content so that the stored identity and times match the new file."""
    path.write_bytes(content)
    with Store.open(harness.state) as store:
        stored = store.files.load(bytes(path.parent), bytes(path.name, "ascii"))
        assert stored is not None
        row = path.name.encode(), FileId.from_stat(path.stat()), 1, stored.content, None
        store.files.record(bytes(path.parent), stored.run, [row])


def test_every_file_is_read_again_within_the_interval(
    harness: ScanHarness, root: Path, clock: Clock
) -> None:
    harness.scan(root)
    exchange(harness, root / "b/c/three", KNOWN)
    matches, read = set(), 0
    for _ in range(11):
        clock.now += DAY
        matches |= harness.scan(root).paths(Outcome.MATCH)
        read += harness.read
    assert matches == {bytes(root / "b/c/three")}
    assert 3 <= read <= 6


def test_a_scan_soon_afterwards_reads_nothing_again(
    harness: ScanHarness, root: Path, clock: Clock
) -> None:
    harness.scan(root)
    clock.now += 1.0
    harness.scan(root)
    assert harness.read == 0


def test_a_file_that_is_mapped_for_writing_is_read_by_the_next_scan(
    harness: ScanHarness, root: Path
) -> None:
    """A write through the map moves no time, once the page was written to."""
    path = root / "a/one"
    harness.matcher.known = {sha256(b"two")}
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 3) as pages:
        file.close()
        pages[0] = pages[0]
        before = path.stat()
        assert harness.scan(root).paths(Outcome.MATCH) == {bytes(root / "a/two")}
        pages[:] = b"two"
        assert path.stat().st_ctime_ns == before.st_ctime_ns
    assert bytes(path) in harness.scan(root).paths(Outcome.MATCH)
    harness.scan(root)
    assert harness.read == 0


def test_a_file_is_read_again_once_its_decoder_is_installed(
    harness: ScanHarness, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = photo(5, (320, 240))
    (root / "a" / "photo.heic").write_bytes(encode(picture, "heic"))
    (root / "a" / "drawing.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200))
    harness.fingerprinter = lambda: InProcessFingerprinter(Plan(("sha256", "pdq")))
    harness.matcher.accepts = frozenset({"sha256", "pdq"})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pillow_heif", None)  # what an import finds without the package
        undetermined = harness.scan(root).paths(Outcome.UNDETERMINED)
        assert len(undetermined) == 2
        assert (harness.scan(root).paths(Outcome.UNDETERMINED), harness.read) == (undetermined, 0)
    image = pillow_heif.open_heif(root / "a" / "photo.heic").to_pillow()
    harness.matcher.known = {pdq(np.asarray(image)).value}
    observer = harness.scan(root)
    assert observer.paths(Outcome.MATCH) == {bytes(root / "a" / "photo.heic")}
    assert harness.read == len(undetermined)
    harness.scan(root)
    assert harness.read == 0

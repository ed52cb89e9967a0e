"""Workers with the real fingerprinter: the in-process results, real bombs, no cache effects."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image

from demo.pictures import animated, encode, grainy, photo
from hashwacht.core.types import Reason
from hashwacht.core.views import ViewKind
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing.page_cache import uncached_ranges
from hashwacht.hashing.workers.pool import TASK_FACTORY, WorkerPool
from support.fingerprints import fingerprint_bytes

Start = Callable[..., WorkerPool]

PLAN = Plan(("md5", "sha1", "sha256", "pdq", "phash64", "dhash64"), Limits(timeout=2))
CONTENTS = {
    "nothing": b"",
    "text": b"no picture\n",
    "photo": encode(photo(1)),
    "heic": encode(photo(2), "heic"),
    "avif": encode(photo(2), "avif"),
    "animation": animated([photo(3, (90, 60)), photo(4, (90, 60))]),
    "truncated": encode(photo(5))[:5000],
    "no picture after all": b"\xff\xd8\xff" + bytes(1000),
}
EXACT: dict[str, dict[str, object]] = {
    "jpeg": {"quality": 99, "subsampling": 0},
    "webp": {"lossless": True, "method": 0},
}
"""How to make large files of little pictures."""


def progressive_bomb(scans: int) -> bytes:
    """Make a JPEG that repeats its last scan: every repetition is decoded."""
    file = io.BytesIO()
    Image.new("L", (3000, 3000), 100).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = [match.start() for match in re.finditer(rb"\xff\xda", content)][-1]
    return content[:last] + content[last:-2] * scans + content[-2:]


@pytest.mark.parametrize("views", [(), tuple(ViewKind)])
def test_a_worker_answers_as_the_same_code_in_this_process(
    start: Start, views: tuple[ViewKind, ...]
) -> None:
    plan = Plan(PLAN.types, views=views)
    pool = start(plan, task_factory=TASK_FACTORY)
    here = InProcessFingerprinter(plan)
    assert pool.recipe == here.recipe
    for content in CONTENTS.values():
        assert fingerprint_bytes(pool, content) == fingerprint_bytes(here, content)


@pytest.mark.parametrize("form", ["png", "bmp", "tiff", "jpeg", "webp"])
def test_a_worker_hashes_a_file_too_large_for_memory_alike(start: Start, form: str) -> None:
    """It does so for an intact and a damaged one; the decoder reads such a file in pieces."""
    original = encode(grainy(photo(1, (1500, 1100)), 40), form, **EXACT.get(form, {}))
    assert len(original) > 3 << 20
    pool, here = start(PLAN, task_factory=TASK_FACTORY), InProcessFingerprinter(PLAN)
    for content in (original, original[: len(original) // 2]):
        fingerprint = fingerprint_bytes(pool, content)
        assert fingerprint == fingerprint_bytes(here, content)
        assert fingerprint.damaged == (content is not original)
        assert not fingerprint.skipped


@pytest.mark.alone  # measures time
def test_a_progressive_bomb_stays_in_budget_and_keeps_digests(start: Start) -> None:
    enough = replace(PLAN.limits, max_decoded_pixels=20_000_000_000)  # else it is refused at once
    pool = start(replace(PLAN, limits=enough), task_factory=TASK_FACTORY)
    bomb = progressive_bomb(2000)
    fingerprint_bytes(pool, b"warm")
    began = time.monotonic()
    fingerprint = fingerprint_bytes(pool, bomb)
    assert time.monotonic() - began < 10
    assert {s.type for s in fingerprint.signals} == {"md5", "sha1", "sha256"}
    assert {(s.type, s.reason) for s in fingerprint.skipped} == {
        (name, Reason.TIMED_OUT) for name in ("pdq", "phash64", "dhash64")
    }
    assert not fingerprint_bytes(pool, CONTENTS["photo"]).skipped


def test_a_picture_that_needs_too_much_memory_is_over_limit(start: Start) -> None:
    limits = Limits(timeout=30, max_memory=64 << 20)
    pool = start(Plan(PLAN.types, limits), task_factory=TASK_FACTORY)
    fingerprint = fingerprint_bytes(pool, encode(Image.new("RGB", (7000, 7000)), "png"))
    assert {s.type for s in fingerprint.signals} == {"md5", "sha1", "sha256"}
    assert {s.reason for s in fingerprint.skipped} == {Reason.OVER_LIMIT}
    assert not fingerprint_bytes(pool, CONTENTS["photo"]).skipped


def test_reading_in_a_worker_keeps_the_page_cache(start: Start, tmp_path: Path) -> None:
    pool = start(PLAN, task_factory=TASK_FACTORY)
    size = 1 << 20
    for name in ("hot", "cold"):
        with (tmp_path / name).open("wb") as file:
            file.write(os.urandom(size))
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with (tmp_path / "cold").open("rb", buffering=0) as file:
        if missing(file.fileno()) < size:
            pytest.skip("this file system lives in the page cache (tmpfs?)")
        pool.fingerprint(file.fileno())
        assert missing(file.fileno()) == size
    with (tmp_path / "hot").open("rb", buffering=0) as file:
        assert min(taken_back(pool, file) for _ in range(3)) <= size // 5


def taken_back(pool: WorkerPool, file: BinaryIO) -> int:
    """Cache a file, read it in a worker, and return the number of bytes no longer cached.

    The kernel may evict pages at any time, but hardly every time.
    """
    file.seek(0)
    file.read()
    file.seek(0)
    pool.fingerprint(file.fileno())
    return missing(file.fileno())


def missing(fd: int) -> int:
    """Return the number of bytes of a file that are not cached."""
    return sum(length for _, length in uncached_ranges(fd, 0, os.fstat(fd).st_size))

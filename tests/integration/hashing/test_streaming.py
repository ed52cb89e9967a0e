"""What is read while it comes in has the very same fingerprint, and a worker only if looked at."""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from demo.pictures import encode, grainy, photo, truncated
from hashwacht.core.ports import UploadTurn
from hashwacht.core.types import Fingerprint
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.content_reader import HEAD
from hashwacht.hashing.workers.pool import TASK_FACTORY, WorkerPool
from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.tasks import DigestTask, PoolStreamHasher
from support.fingerprints import fingerprint_bytes
from support.processes import workers

Start = Callable[..., WorkerPool]
PLAN = Plan(("md5", "sha1", "sha256", "pdq", "phash64"), Limits(max_picture_size=2 << 20))
CONTENTS = {
    "nothing": b"",
    "text": b"text\n" * 1000,
    "long": random.Random(1).randbytes(3 * (1 << 20) + 17),
    "exactly a head": b"x" * HEAD,
    "jpeg": encode(photo(1)),
    "png of more than a head": encode(grainy(photo(1)), "png"),
    "damaged": truncated(encode(photo(2)), 0.5),
    "over the limit": encode(photo(3), "bmp") + bytes(2 << 20),
    "no decoder": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
}


def piecewise(pool: WorkerPool, content: bytes, places: Sequence[int]) -> Fingerprint:
    """Stream the content in pieces that end at these positions."""
    ahead = pool.open_stream()
    assert ahead is not None
    with tempfile.TemporaryFile(buffering=0) as file:
        keep: bool | None = None
        for begin, end in zip([0, *places], [*places, len(content)], strict=True):
            keep = ahead.update(content[begin:end])
            file.write(content[begin:end])
        assert keep in {None, ahead.finish()}
        return ahead.fingerprint(file.fileno() if ahead.finish() else None, upload=UploadTurn())


@pytest.mark.parametrize("name", CONTENTS)
def test_the_fingerprint_is_the_same_for_any_chunks(start: Start, name: str) -> None:
    pool = start(PLAN, task_factory=TASK_FACTORY)
    content = CONTENTS[name]
    expected = fingerprint_bytes(pool, content)
    middle = len(content) // 2
    for places in ((), (middle,), (min(1, middle), middle), (min(HEAD, middle), len(content))):
        assert piecewise(pool, content, places) == expected
    every = range(HEAD // 2, len(content), HEAD)
    assert piecewise(pool, content, list(every)) == expected
    assert expected.recipe == pool.recipe


def test_a_content_that_is_no_picture_needs_no_worker(start: Start) -> None:
    pool = start(PLAN, task_factory=TASK_FACTORY)
    for name in ("nothing", "long", "over the limit"):
        piecewise(pool, CONTENTS[name], ())
    assert [workers(worker_kind) for worker_kind in WorkerKind] == [[]] * len(WorkerKind)
    piecewise(pool, CONTENTS["jpeg"], ())
    assert [len(workers(kind)) for kind in (WorkerKind.DIGESTS, WorkerKind.PICTURE)] == [0, 1]


def test_the_decoder_gets_a_read_only_descriptor() -> None:
    modes = []

    def look(digests: Fingerprint, copy: int, _: UploadTurn) -> Fingerprint:
        modes.append(fcntl.fcntl(copy, fcntl.F_GETFL) & os.O_ACCMODE)
        return digests

    ahead = PoolStreamHasher(DigestTask(PLAN), (), look)
    ahead.update(CONTENTS["jpeg"])
    with tempfile.TemporaryFile(buffering=0) as file:
        ahead.fingerprint(file.fileno(), upload=UploadTurn())
    assert modes == [os.O_RDONLY]


OWN_DIGEST = """
import zlib
class Running:
    crc = 0
    def update(self, chunk): self.crc = zlib.crc32(chunk, self.crc)
    def hexdigest(self): return f"{self.crc:08x}"
class Crc:
    name, version, bits, perceptual = "crc_own", 1, 32, False
    def canonical(self, value): return value
    def distance(self, one, other): return 0
    def examples(self): return []
    def new(self): return Running()
"""


def test_a_content_that_cannot_be_a_picture_is_not_kept() -> None:
    answers = {}
    for name, content in CONTENTS.items():
        ahead = PoolStreamHasher(DigestTask(PLAN), (), lambda digests, _, __: digests)
        answers[name] = (ahead.update(content), ahead.finish())
    assert answers == {
        "nothing": (None, False),
        "text": (None, False),
        "long": (False, False),
        "exactly a head": (False, False),
        "jpeg": (None, True),
        "png of more than a head": (True, True),
        "damaged": (None, True),
        "over the limit": (False, False),
        "no decoder": (None, False),
    }


def test_an_operators_own_digest_runs_in_workers_only(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_digest.py").write_text(OWN_DIGEST)
    about = tmp_path / "own_digest-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own_digest\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[hashwacht.signal_types]\ncrc_own = own_digest:Crc\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = start(Plan(("sha256", "crc_own")), task_factory=TASK_FACTORY)
    assert pool.open_stream() is None
    assert [signal.type for signal in fingerprint_bytes(pool, b"x").signals] == [
        "sha256",
        "crc_own",
    ]

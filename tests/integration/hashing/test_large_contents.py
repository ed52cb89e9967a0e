"""Contents of any size: holes, time limits, and what else is digested meanwhile."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.errors import WorkerError
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.content_reader import CHUNK, read
from hashwacht.hashing.workers.pool import WorkerPool
from support.fingerprints import fingerprint_bytes

BLOCK = 64 << 10

extents = st.lists(
    st.tuples(st.integers(0, 80), st.integers(1, 3 * BLOCK), st.booleans()), max_size=6
)


@given(extents=extents, end=st.integers(0, 100 * BLOCK))
@settings(max_examples=40, deadline=None)
def test_holes_are_digested_as_the_zeros_that_they_are(
    extents: list[tuple[int, int, bool]], end: int
) -> None:
    with tempfile.TemporaryFile(buffering=0) as file:
        for block, size, aligned in extents:
            offset = block * BLOCK + (0 if aligned else 1234)
            os.pwrite(file.fileno(), os.urandom(size), offset)
        file.truncate(end)
        expected = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        content = read(file.fileno(), [], keep=lambda _: True, at_most=CHUNK)
    assert (content.key, content.size) == (expected, end)


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[int]:
    """Open a file that takes hours to digest and no place."""
    with (tmp_path / "endless").open("wb+") as file:
        file.truncate(4 << 40)
        yield file.fileno()


Start = Callable[..., WorkerPool]
TASKS = "hashwacht.hashing.workers.tasks:make_task"


def test_others_are_digested_while_a_large_one_is_read(start: Start, endless: int) -> None:
    pool = start(Plan(("sha256",), Limits()), jobs=1, task_factory=TASKS)
    reading, failures = threading.Event(), list[WorkerError]()

    def read_endless() -> None:
        reading.set()
        try:
            pool.fingerprint(endless)
        except WorkerError as error:
            failures.append(error)

    thread = threading.Thread(target=read_endless)
    thread.start()
    reading.wait()
    for number in range(5):
        content = b"%d" % number
        assert fingerprint_bytes(pool, content).key == hashlib.sha256(content).hexdigest()
    assert thread.is_alive()
    pool.close()
    thread.join()
    assert failures


def test_reading_a_large_content_ends_at_the_limit(start: Start, endless: int) -> None:
    pool = start(Plan(("sha256",), Limits(max_read_time=0.2)), jobs=1, task_factory=TASKS)
    with pytest.raises(OSError, match="max_read_time") as raised:
        pool.fingerprint(endless)
    assert raised.value.errno == errno.EFBIG
    assert fingerprint_bytes(pool, b"small").size == 5

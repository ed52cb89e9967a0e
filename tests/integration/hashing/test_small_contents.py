"""Small contents that need digests only are read together; all others are left to single reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.pictures import encode, photo
from hashwacht.core.types import FileId, Fingerprint
from hashwacht.engine.read import FileContent, OpenFile, read_files, read_small_files
from hashwacht.hashing import Plan
from hashwacht.hashing.workers.pool import WorkerPool
from hashwacht.hashing.workers.small.small_protocol import MAX_SMALL_BATCH, MAX_SMALL_SIZE

PLAN = Plan(("md5", "sha1", "sha256", "pdq"))


@dataclass(frozen=True)
class Name:
    """A name of a file in a directory."""

    directory: bytes
    name: bytes


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(PLAN, 1) as pool:
        yield pool


def opened(path: Path, content: bytes) -> int:
    path.write_bytes(content)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def test_texts_have_the_fingerprint_of_a_single_read(pool: WorkerPool, tmp_path: Path) -> None:
    contents = [b"", *(b"echo %d;\n" % n * 400 for n in range(MAX_SMALL_BATCH)), b"\0\1\2"]
    fds = [opened(tmp_path / f"{n}", content) for n, content in enumerate(contents)]
    try:
        results = pool.fingerprint_small(fds)
        assert {os.lseek(fd, 0, os.SEEK_CUR) for fd in fds} == {0}
        assert results == [pool.fingerprint(fd) for fd in fds]
    finally:
        for fd in fds:
            os.close(fd)


def test_others_are_left_to_single_reads(pool: WorkerPool, tmp_path: Path) -> None:
    picture = opened(tmp_path / "picture", encode(photo(1, (64, 64)), "png"))
    large = opened(tmp_path / "large", b"x" * (MAX_SMALL_SIZE + 1))
    text = opened(tmp_path / "text", b"text")
    directory = os.open(tmp_path, os.O_RDONLY | os.O_CLOEXEC)
    fds = [picture, large, text, directory]
    try:
        results = pool.fingerprint_small(fds)
    finally:
        for fd in fds:
            os.close(fd)
    assert [result is None for result in results] == [True, True, False, True]


def test_a_lost_worker_costs_nothing_but_the_shared_read(tmp_path: Path) -> None:
    factory = "support.hostile.culprits:Culprits"  # its workers send no packed answers
    fd = opened(tmp_path / "text", b"text")
    with WorkerPool(PLAN, 1, task_factory=factory) as pool:
        try:
            assert pool.fingerprint_small([fd]) == [None]
            assert pool.fingerprint(fd).size == len(b"text")
        finally:
            os.close(fd)


def test_files_that_change_are_left_to_single_reads(pool: WorkerPool, tmp_path: Path) -> None:
    path = tmp_path / "text"
    fd = opened(path, b"text")
    file = OpenFile(Name(bytes(tmp_path), b"text"), fd, FileId.from_stat(os.fstat(fd)), 1)

    def written_meanwhile(fds: Sequence[int]) -> Sequence[Fingerprint | None]:
        results = pool.fingerprint_small(fds)
        path.write_bytes(b"others")
        return results

    try:
        (single,) = read_files([file], pool.fingerprint)  # waits until a change would show
        (together,), others = read_small_files([file], pool.fingerprint_small)
        assert isinstance(single, FileContent)
        assert (together.fingerprint, others) == (single.fingerprint, [])
        with path.open("ab"):
            assert read_small_files([file], pool.fingerprint_small) == ([], [file])
        assert read_small_files([file], written_meanwhile) == ([], [file])
    finally:
        os.close(fd)

"""Reading a storage leaves its page cache unchanged, by the kernel's own account."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from hashwacht.hashing.page_cache import WINDOW, CacheNeutralReader, uncached_ranges

PAGE = mmap.PAGESIZE
PAGES = 200
MOST = 0.8
"""Share of hot pages that must stay: machines reclaim some by themselves (one was measured to
lose 0.1 % a second with 23 GB free), while a reader that flushes loses all."""

ways = pytest.mark.parametrize("dontcache", [True, False], ids=["dontcache", "mincore"])


def cached_pages(path: Path) -> int:
    """Return the pages of a file that the kernel holds in memory."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return -(-size // PAGE) - sum(
            -(-length // PAGE) for _, length in uncached_ranges(file.fileno(), 0, size)
        )


def make_cold(path: Path, start: int = 0, length: int = 0) -> None:
    """Write a file (or a range) back and drop it from the cache."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), start, length, os.POSIX_FADV_DONTNEED)


def read_quietly(path: Path, *, dontcache: bool, chunk: int = 1 << 16) -> bytes:
    buffer = bytearray(chunk)
    content = bytearray()
    with (
        path.open("rb", buffering=0) as file,
        CacheNeutralReader(file.fileno(), dontcache=dontcache) as reader,
    ):
        while count := reader.readinto(buffer):
            content += buffer[:count]
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == len(content)
    return bytes(content)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """Write a file of 200 pages to a file system whose cache can be emptied."""
    path = tmp_path / "content"
    path.write_bytes(os.urandom(PAGES * PAGE - 100))
    make_cold(path)
    if cached_pages(path) == PAGES:
        pytest.skip("this file system lives in the page cache (tmpfs?), so it shows nothing")
    return path


@ways
def test_a_cold_file_is_cold_again_after_it_was_read(content: Path, dontcache: bool) -> None:
    expected = content.stat().st_size
    assert cached_pages(content) == 0
    assert len(read_quietly(content, dontcache=dontcache)) == expected
    assert cached_pages(content) == 0


def test_a_plain_read_would_have_left_it_in_the_cache(content: Path) -> None:
    """Otherwise the test above could not fail."""
    content.read_bytes()
    assert cached_pages(content) >= MOST * PAGES


@ways
def test_a_hot_file_stays_hot(content: Path, dontcache: bool) -> None:
    hot = content.read_bytes()
    assert read_quietly(content, dontcache=dontcache) == hot
    assert cached_pages(content) >= MOST * PAGES


@ways
def test_the_hot_part_of_a_half_cached_file_stays(content: Path, dontcache: bool) -> None:
    content.read_bytes()
    make_cold(content, 64 * PAGE, 64 * PAGE)
    before = cached_pages(content)
    assert 0 < before < PAGES
    read_quietly(content, dontcache=dontcache)
    assert MOST * before <= cached_pages(content) <= before


def test_what_a_writer_has_not_written_back_yet_stays(content: Path) -> None:
    content.write_bytes(os.urandom(PAGES * PAGE))
    read_quietly(content, dontcache=False)
    assert cached_pages(content) >= MOST * PAGES


def test_a_large_file_never_holds_more_than_two_windows(content: Path) -> None:
    """Pages are dropped during the read, not only at its end."""
    os.truncate(content, 0)
    os.truncate(content, 4 * WINDOW)
    most = 0
    buffer = bytearray(1 << 20)
    with (
        content.open("rb", buffering=0) as file,
        CacheNeutralReader(file.fileno(), dontcache=False) as reader,
    ):
        while reader.readinto(buffer):
            most = max(most, cached_pages(content))
    assert MOST * WINDOW // PAGE <= most <= 2 * WINDOW // PAGE
    assert cached_pages(content) == 0


def test_a_reader_without_write_permission_detects_cold_pages(
    content: Path,
) -> None:
    """For a user who neither owns nor may write a file, mincore reports every page as cached."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    content.chmod(0o644)
    with content.open("rb", buffering=0) as file:
        pid = os.fork()
        if pid == 0:
            os.setresuid(65534, 65534, 65534)
            size = os.fstat(file.fileno()).st_size
            os._exit(0 if uncached_ranges(file.fileno(), 0, size) == [(0, size)] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_an_error_of_the_file_system_is_raised(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(IsADirectoryError), CacheNeutralReader(fd) as reader:
            reader.readinto(bytearray(10))
    finally:
        os.close(fd)

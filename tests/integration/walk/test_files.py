"""Opening single files, and detecting changes while they are read."""

import os
from pathlib import Path

import pytest

from hashwacht.core.types import FileId
from hashwacht.platform.safe_open import (
    FileChanged,
    OpenDirectory,
    read_consistent,
    timestamps_settled,
)


class Reader:
    """Reads a descriptor to its end, and changes the file during each read."""

    def __init__(self, *events: object) -> None:
        self.events = list(events)
        self.readings: list[bytes] = []

    def __call__(self, fd: int) -> bytes:
        content = os.read(fd, 3)
        if self.events:
            event = self.events.pop(0)
            if callable(event):
                event()
        while more := os.read(fd, 1 << 16):
            content += more
        self.readings.append(content)
        return content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"first content")
    return path


def read(path: Path, reader: Reader) -> tuple[FileId, bytes]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_consistent(fd, reader)
    finally:
        os.close(fd)


def test_what_holds_still_is_read_once(path: Path) -> None:
    reader = Reader()
    assert read(path, reader) == (FileId.from_stat(path.stat()), b"first content")
    assert reader.readings == [b"first content"]


def test_a_file_that_grows_during_reading_is_read_again(path: Path) -> None:
    def grow() -> None:
        with path.open("ab") as file:
            file.write(b", and more")

    reader = Reader(grow)
    identity, content = read(path, reader)
    assert content == b"first content, and more"
    assert identity == FileId.from_stat(path.stat())
    assert len(reader.readings) == 2


def test_a_file_that_changes_during_both_readings_gets_no_answer(path: Path) -> None:
    def scribble() -> None:
        with path.open("r+b") as file:
            file.write(b"X")

    reader = Reader(scribble, scribble)
    with pytest.raises(FileChanged):
        read(path, reader)
    assert len(reader.readings) == 2


def test_a_same_size_change_of_a_new_file_is_detected(tmp_path: Path) -> None:
    """Before Linux 6.13 both writes could share one clock tick, which the reader waits out."""
    path = tmp_path / "file"

    def exchange() -> None:
        path.write_bytes(b"other content")

    for _ in range(30):
        path.write_bytes(b"first content")
        identity, content = read(path, Reader(exchange))
        assert content == b"other content"
        assert identity == FileId.from_stat(path.stat())


def test_a_tick_is_waited_out_only_for_files_just_written(path: Path) -> None:
    changed = path.stat().st_ctime_ns
    fd = os.open(path, os.O_RDONLY)
    for now, pauses in ((changed + 1_000_000, 1), (changed + 20_000_000, 0), (changed - 10**9, 0)):
        waits: list[float] = []
        read_consistent(fd, lambda fd: os.read(fd, 99), now=lambda now=now: now, pause=waits.append)  # type: ignore[misc]  # bound now
        assert len(waits) == pauses
    os.close(fd)


def test_a_file_replaced_during_reading_is_judged_as_opened(path: Path) -> None:
    def replace() -> None:
        new = path.with_name("new")
        new.write_bytes(b"something else")
        new.rename(path)

    identity, content = read(path, Reader(replace))
    assert content == b"first content"
    assert identity.ino != path.stat().st_ino


def test_an_error_of_the_reader_passes(path: Path) -> None:
    def fail() -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        read(path, Reader(fail))


def test_timestamps_of_a_recent_change_are_not_settled() -> None:
    """A file changed right before it was read must be read again next time."""
    written_at = 1_000_000_000_000
    file = FileId(1, 2, 3, 0, written_at)
    assert timestamps_settled(file, written_at + 3_000_000_000)
    assert not timestamps_settled(file, written_at + 1_000_000_000)
    assert not timestamps_settled(file, written_at - 1)


def test_fine_timestamps_settle_after_one_clock_tick() -> None:
    written_at = 1_000_000_000_001
    file = FileId(1, 2, 3, 0, written_at)
    assert timestamps_settled(file, written_at + 20_000_000)
    assert not timestamps_settled(file, written_at + 1_000_000)


def identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def test_only_the_file_that_was_meant_is_opened_and_never_blocks(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with OpenDirectory.at(bytes(tmp_path)) as directory:
        for name in ("link", "directory", "fifo"):
            with pytest.raises(FileChanged):
                directory.file(name.encode(), identity(tmp_path / name))
        with pytest.raises(FileChanged):
            directory.file(b"file", identity(tmp_path / "fifo"))
        os.close(directory.file(b"file", identity(tmp_path / "file")))
        with pytest.raises(FileNotFoundError):
            directory.file(b"none", (0, 0))
        with pytest.raises(NotADirectoryError):
            directory.directory(b"link")


def test_reading_leaves_the_access_time_alone(path: Path) -> None:
    os.utime(path, ns=(1_000_000_000, 2_000_000_000))
    with OpenDirectory.at(bytes(path.parent)) as directory:
        fd = directory.file(b"file", identity(path))
        assert os.read(fd, 99)
        os.close(fd)
    assert path.stat().st_atime_ns == 1_000_000_000


def test_no_link_on_the_way_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    with OpenDirectory.at(bytes(tmp_path / "a/b")) as directory:
        assert directory.id == identity(tmp_path / "a/b")
        with directory.parent() as above:
            assert above.id == identity(tmp_path / "a")
    with pytest.raises(NotADirectoryError):
        OpenDirectory.at(bytes(tmp_path / "link/b"))
    with pytest.raises(ValueError, match="absolute"):
        OpenDirectory.at(b"a/b")
    with OpenDirectory.at(b"/") as top:
        assert top.id == identity(Path("/"))

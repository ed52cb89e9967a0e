"""Files on which other processes hold write leases, as file servers and attackers do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hashwacht.platform.safe_open import FileChanged, OpenDirectory, open_regular, reopen_read_only

HOLDER = """
import fcntl, signal, sys, time
def break_lease(*_):
    if stubborn:
        return
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
stubborn = sys.argv[2] == "stubborn"
signal.signal(signal.SIGIO, break_lease)
file = open(sys.argv[1])
fd, held = file.fileno(), False
while True:
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        if not held:
            print("held", flush=True)
        held = True
    except OSError:
        pass
    time.sleep(0.001)
"""


@contextmanager
def lease(path: Path, manner: str) -> Iterator[subprocess.Popen[bytes]]:
    """Hold a write lease: a *greedy* holder takes it again at once, a stubborn one keeps it."""
    command = [sys.executable, "-c", HOLDER, str(path), manner]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            yield holder
        finally:
            holder.kill()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def open_file(path: Path, lease_wait: float) -> int:
    status = path.stat()
    with OpenDirectory.at(bytes(path.parent)) as directory:
        return directory.file(os.fsencode(path.name), (status.st_dev, status.st_ino), lease_wait)


def test_a_holder_that_takes_its_lease_again_keeps_no_one_out(file: Path) -> None:
    for _ in range(5):
        with lease(file, "greedy"):
            fd = open_file(file, 30.0)
            assert os.read(fd, 100) == b"content"
            os.close(fd)
        file.rename(file.with_suffix(".old"))
        file.write_bytes(b"content")


def test_a_named_file_is_opened_in_spite_of_a_lease(file: Path) -> None:
    with lease(file, "greedy"):
        fd = open_regular(file)
        again = reopen_read_only(fd)
        assert os.read(fd, 100) == os.read(again, 100) == b"content"
        os.close(fd)
        os.close(again)


def test_a_lease_that_is_kept_delays_no_one_and_is_won_later(file: Path) -> None:
    with lease(file, "stubborn") as holder:
        with pytest.raises(BlockingIOError):
            open_file(file, 0.05)
        holder.kill()
    os.close(open_file(file, 30.0))


def test_a_file_that_takes_the_place_of_a_leased_one_is_refused(file: Path) -> None:
    status = file.stat()
    file.rename(file.with_suffix(".old"))
    file.write_bytes(b"another")
    with (
        lease(file, "greedy"),
        OpenDirectory.at(bytes(file.parent)) as directory,
        pytest.raises(FileChanged),
    ):
        directory.file(b"file", (status.st_dev, status.st_ino), 30.0)

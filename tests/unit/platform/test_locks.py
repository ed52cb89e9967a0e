"""Locks between processes: exclusive, shared, and released when their holder dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hashwacht.platform.locks import FileLock

HOLD = """
import sys
from pathlib import Path
from hashwacht.platform.locks import FileLock
lock = FileLock.acquire(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_lock_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with FileLock.acquire(path) or sys.exit("not locked"):
        assert FileLock.acquire(path) is None
        assert FileLock.acquire(path, shared=True, timeout=0.02) is None
    retaken = FileLock.acquire(path)
    assert retaken is not None
    assert path.stat().st_mode & 0o777 == 0o600
    retaken.release()
    retaken.release()


def test_shared_locks_exclude_only_exclusive_ones(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    first = FileLock.acquire(path, shared=True, create=False)
    second = FileLock.acquire(path, shared=True, create=False)
    assert first is not None
    assert second is not None
    assert FileLock.acquire(path) is None
    first.release()
    second.release()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        assert FileLock.acquire(path) is None
        process.kill()
    lock = FileLock.acquire(path)
    assert lock is not None
    lock.release()


def test_a_file_that_its_holder_removed_is_not_locked(tmp_path: Path) -> None:
    """Otherwise two processes would hold the lock of one name."""
    path = tmp_path / "lock"
    path.touch()
    before = path.stat().st_ino
    first = FileLock.acquire(path)
    assert first is not None
    path.unlink()
    second = FileLock.acquire(path)
    assert second is not None
    assert os.fstat(second.fd).st_nlink == 1
    assert os.fstat(first.fd).st_ino == before
    first.release()
    second.release()

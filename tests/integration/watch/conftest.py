"""Both Watches on the real kernel, and mounts of our own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.watch.watching import OwnMounts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have who mounts something alone: other namespaces would keep it alive."""
    for item in items:
        if "mounts" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.alone)


@pytest.fixture
def mounts() -> Iterator[OwnMounts]:
    """Let a test mount what it likes."""
    try:
        mounts = OwnMounts()
    except OSError as error:
        pytest.skip(f"no mount namespace of our own is to be had here: {error}")
    with closing(mounts):
        yield mounts


@pytest.fixture
def memory() -> Iterator[Path]:
    """Give a directory in memory, where that can be had: a busy disk takes minutes."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="hashwacht-", dir=where)).resolve()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Give a short path for the watcher's socket."""
    with tempfile.TemporaryDirectory(prefix="hw-") as directory:
        yield Path(directory) / "watcher.sock"

"""Both Watches on the real kernel, and separate mounts."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.watch.watching import OwnMounts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that mount alone: other mount namespaces would keep a mount busy."""
    for item in items:
        if "mounts" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.alone)


@pytest.fixture
def mounts() -> Iterator[OwnMounts]:
    """Return mounts of a separate namespace."""
    try:
        mounts = OwnMounts()
    except OSError as error:
        pytest.skip(f"no separate mount namespace is available here: {error}")
    with closing(mounts):
        yield mounts


@pytest.fixture
def memory() -> Iterator[Path]:
    """Return a directory in memory where available: a busy disk takes minutes."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="hashwacht-", dir=where)).resolve()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Return a short path for the watcher's socket."""
    with tempfile.TemporaryDirectory(prefix="hw-") as directory:
        yield Path(directory) / "watcher.sock"

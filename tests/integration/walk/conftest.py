"""Fixtures of the walker's tests."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashwacht.walk.listing import ListedDirectory
from hashwacht.walk.rules import ExclusionRules
from hashwacht.walk.walk import Walker

Walk = Callable[..., list[ListedDirectory]]


@pytest.fixture
def walk() -> Walk:
    """Walk a whole tree and return all results."""

    def run(
        root: Path | bytes, rules: ExclusionRules | None = None, **options: object
    ) -> list[ListedDirectory]:
        walker = Walker(os.fsencode(root), rules or ExclusionRules([]), **options)  # type: ignore[arg-type]  # passed on as they are
        return list(walker.walk())

    return run


@pytest.fixture
def open_tree() -> Iterator[Path]:
    """Make a directory that every user may enter; remove it, however deep it has become."""
    memory = (
        "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    )  # in memory, because a busy disk takes minutes
    path = Path(tempfile.mkdtemp(prefix="hashwacht-", dir=memory))
    path.chmod(0o755)
    yield path
    subprocess.run(["rm", "-rf", path], check=True)  # rmtree recurses
    assert not path.exists()


@pytest.fixture
def root_only() -> None:
    """Skip, visibly, tests that only root can run."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root: changes the user or mounts")

"""Fixtures of the quarantine tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hashwacht.quarantine.age import KeyPair, generate_key_pair
from hashwacht.quarantine.vault import Vault

MIB = 1 << 20
NOBODY = 65534


@pytest.fixture(scope="session")
def keys() -> KeyPair:
    """Return the key pair that everything is sealed for."""
    return generate_key_pair()


@pytest.fixture
def vault(tmp_path: Path, keys: KeyPair) -> Vault:
    """Return an empty vault."""
    return Vault(tmp_path / "vault", [keys.public])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Make a customer's directory."""
    path = tmp_path / "site"
    path.mkdir()
    return path


@pytest.fixture
def memory() -> Iterator[Path]:
    """Make a directory on another file system."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no second file system to write to")
    path = Path(tempfile.mkdtemp(prefix="hashwacht-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a file system; skip where that is not permitted."""
    mounted: list[Path] = []

    def run(name: str, *arguments: str) -> Path:
        place = tmp_path / name
        if not place.exists():
            place.mkdir()
        try:
            command = ["mount", *arguments, str(place)]
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"cannot mount: {getattr(error, 'stderr', error)}")
        if not any("remount" in argument for argument in arguments):
            mounted.append(place)
        return place

    yield run
    for place in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def small_disk(mount: Callable[..., Path]) -> Path:
    """Mount 8 MiB of memory."""
    return mount("small", "-t", "tmpfs", "-o", f"size={8 * MIB}", "tmpfs")


@pytest.fixture
def open_tree() -> Iterator[Path]:
    """Make a directory that every user may enter, with a subdirectory ``own`` of user nobody."""
    path = Path(tempfile.mkdtemp(prefix="hashwacht-", dir="/var/tmp"))
    path.chmod(0o755)
    (path / "own").mkdir()
    if os.geteuid() == 0:
        os.chown(path / "own", NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def as_nobody() -> Callable[[], AbstractContextManager[None]]:
    """Return a context manager that drops all privileges temporarily."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")

    @contextmanager
    def become() -> Iterator[None]:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    return become

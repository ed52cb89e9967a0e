"""A file system that stops responding stalls its own root and no other."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashwacht.core.types import Outcome
from hashwacht.core.watch_events import Cause
from hashwacht.settings import RootSettings
from support.daemon.daemon_harness import DaemonHarness, digest

pytestmark = pytest.mark.alone

MNT_DETACH = 2
FUSE_DEVICE = os.makedev(10, 229)


@pytest.fixture
def die(tmp_path: Path) -> Iterator[Callable[[Path], Callable[[], None]]]:
    """Return a function that mounts a file system that never answers, and returns its end."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a file system")
    libc, ends = ctypes.CDLL(None, use_errno=True), list[Callable[[], None]]()
    device = tmp_path / "fuse"
    os.mknod(device, stat.S_IFCHR | 0o600, FUSE_DEVICE)

    def mount(point: Path) -> Callable[[], None]:
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"dead", bytes(point), b"fuse", 0, options) != 0:
            os.close(fd)
            pytest.skip(f"cannot mount: {os.strerror(ctypes.get_errno())}")

        def end() -> None:
            if end in ends:
                ends.remove(end)
                libc.umount2(bytes(point), MNT_DETACH)
                os.close(fd)

        ends.append(end)
        return end

    yield mount
    for end in list(ends):
        end()


def open_causes(harness: DaemonHarness, root: str) -> set[Cause]:
    return {gap.cause for gap in harness.store.gaps.load_open(root) if gap.ended is None}


@pytest.mark.parametrize("below", ["", "mounted"])
def test_a_dead_file_system_stalls_only_its_own_root(
    tmp_path: Path, die: Callable[[Path], Callable[[], None]], below: str
) -> None:
    local, remote = tmp_path.resolve() / "local", tmp_path.resolve() / "remote"
    for path in (local, remote, remote / below):
        path.mkdir(exist_ok=True)
    roots = RootSettings("local", local), RootSettings("remote", remote)
    harness = DaemonHarness(tmp_path / "state", roots)
    harness.matcher.known.add(digest(b"known"))
    with harness.running():
        harness.wait_until_done()
        end = die(remote / below)
        harness.wait_for(lambda: Cause.UNMOUNTED in open_causes(harness, "remote"), "reported")
        (local / "file").write_bytes(b"known")
        expected = {bytes(local / "file")}
        harness.wait_for(lambda: harness.casework.paths(Outcome.MATCH) == expected, "found")
        beat = harness.store.gaps.load_heartbeats()["local"].at
        harness.wait_for(lambda: harness.store.gaps.load_heartbeats()["local"].at > beat, "watched")
        assert not open_causes(harness, "local")
        end()
        harness.wait_for(lambda: Cause.UNMOUNTED not in open_causes(harness, "remote"), "recovered")
    harness.close()


def test_a_scanner_starts_beside_a_dead_file_system(
    tmp_path: Path, die: Callable[[Path], Callable[[], None]]
) -> None:
    local, remote = tmp_path.resolve() / "local", tmp_path.resolve() / "remote"
    local.mkdir()
    remote.mkdir()
    end = die(remote)
    roots = RootSettings("local", local), RootSettings("remote", remote)
    harness = DaemonHarness(tmp_path / "state", roots)
    harness.matcher.known.add(digest(b"known"))
    (local / "file").write_bytes(b"known")
    with harness.running():
        expected = {bytes(local / "file")}
        harness.wait_for(lambda: harness.casework.paths(Outcome.MATCH) == expected, "found")
        assert Cause.UNMOUNTED in open_causes(harness, "remote")
        end()
    harness.close()

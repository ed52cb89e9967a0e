"""A file system that stops responding stalls its own root and no other."""

from __future__ import annotations

import ctypes
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hashwacht.core.types import Outcome
from hashwacht.core.watch_events import Cause
from hashwacht.platform.filesystems.responsiveness import HANGING_RETRY, examine_roots
from hashwacht.settings import RootSettings
from hashwacht.storage.locations import LocationState
from support.cases import HOLD, CaseHarness, match
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


def wait_for_check(harness: DaemonHarness, root: str) -> None:
    """Wait for the end of a check of the watch, which records that the root is watched."""
    beat = harness.store.gaps.load_heartbeats()[root].at
    harness.wait_for(lambda: harness.store.gaps.load_heartbeats()[root].at > beat, "watched")


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
        wait_for_check(harness, "remote")
        end = die(remote / below)
        harness.wait_for(lambda: Cause.UNMOUNTED in open_causes(harness, "remote"), "reported")
        (local / "file").write_bytes(b"known")
        expected = {bytes(local / "file")}
        harness.wait_for(lambda: harness.casework.paths(Outcome.MATCH) == expected, "found")
        wait_for_check(harness, "local")
        assert not open_causes(harness, "local")
        end()
        harness.wait_for(lambda: Cause.UNMOUNTED not in open_causes(harness, "remote"), "recovered")
    harness.close()


def test_late_writes_are_noticed_beside_a_dead_file_system(
    tmp_path: Path, die: Callable[[Path], Callable[[], None]]
) -> None:
    """The times of files of both roots are compared again after they were read."""
    local, remote = tmp_path.resolve() / "local", tmp_path.resolve() / "remote"
    local.mkdir()
    remote.mkdir()
    roots = RootSettings("local", local), RootSettings("remote", remote)
    harness = DaemonHarness(tmp_path / "state", roots)
    harness.matcher.known.add(digest(b"known"))
    with harness.running():
        harness.wait_until_done()
        (remote / "file").write_bytes(b"harmless")
        (local / "file").write_bytes(b"harmless")
        harness.wait_for(lambda: len(harness.casework.paths(Outcome.NO_MATCH)) == 2, "judged")
        wait_for_check(harness, "remote")
        end = die(remote)
        outside = tmp_path / "outside"
        outside.hardlink_to(local / "file")
        outside.write_bytes(b"known")
        expected = {bytes(local / "file")}
        harness.wait_for(lambda: harness.casework.paths(Outcome.MATCH) == expected, "found")
        end()
    harness.close()


def test_actions_in_a_dead_file_system_are_postponed(
    tmp_path: Path, die: Callable[[Path], Callable[[], None]]
) -> None:
    """They take the lock of all cases, for which the actions in other roots would wait."""
    root = replace(HOLD, path=tmp_path.resolve() / "files")
    harness = CaseHarness(tmp_path.resolve(), root=root).open()
    path = harness.file("a.png")
    with (harness.files / "a.png").open("rb") as file:
        judged = harness.judged(path, file.fileno())
    end = die(harness.files)
    assert examine_roots([bytes(harness.files)]), "it hangs"

    def act() -> None:
        harness.with_root(root)
        harness.recheck(path, judged, match(*judged.fingerprint.signals))
        harness.retry(3600.0)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join(10.0)
    is_blocked = thread.is_alive()
    end()
    thread.join()
    assert not is_blocked
    (location,) = harness.locations()
    assert (location.state, location.attempts) == (LocationState.FAILED, 1)
    assert not examine_roots([bytes(harness.files)])
    harness.retry(HANGING_RETRY)
    assert [location.state for location in harness.locations()] == [LocationState.HELD]
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

"""The Watch that needs no privilege passes the contract."""

from contextlib import closing, suppress
from pathlib import Path

import pytest

from hashwacht.core.watch_events import Root
from hashwacht.platform.filesystems.mounts import Mounts
from hashwacht.watch.inotify import InotifyRoot, InotifyWatch
from hashwacht.watch.root_state import read_root_state
from support.watch.watch_chaos import Chaos, WatchChaosContract
from support.watch.watch_contract import WatchCase, WatchContract
from support.watch.watch_roots_contract import WatchRootsContract
from support.watch.watching import WatchRecorder, WatchSession, write


@pytest.fixture
def case(tmp_path: Path) -> WatchCase:
    return WatchCase(InotifyWatch, tmp_path.resolve())


class TestFiles(WatchContract):
    pass


class TestRoots(WatchRootsContract):
    pass


class TestChaos(WatchChaosContract):
    pass


def kernel_watches() -> int:
    """Return the number of directories that the kernel watches for this process."""
    count = 0
    for path in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            count += path.read_text().count("inotify wd:")
    return count


def directories(top: Path) -> int:
    return 1 + sum(path.is_dir() for path in top.rglob("*"))


def test_the_kernel_watches_every_directory_once_and_no_other(case: WatchCase) -> None:
    """Watches are scarce: those of directories that were moved out or deleted are freed."""
    before = kernel_watches()
    with case.watching() as session:
        chaos = Chaos(session, case.outside, 7)
        for _ in range(300):
            chaos.step()
        chaos.check()
        session.maintain_until(lambda: kernel_watches() - before == directories(session.top))
    assert kernel_watches() == before


def test_a_directory_renamed_before_its_child_is_watched(
    tmp_path: Path,
) -> None:
    """Its creation is announced under a path that no longer exists."""
    root, recorder, mounts = tmp_path.resolve() / "root", WatchRecorder(), Mounts()
    (root / "before").mkdir(parents=True)
    watched_root = Root("root", bytes(root))
    stands = read_root_state(watched_root, mounts)
    assert stands is not None
    with closing(mounts), closing(InotifyRoot(watched_root, stands, recorder)) as watch:
        session = WatchSession(watch, recorder, root)  # type: ignore[arg-type]  # one root's watch can be tended
        with watch._tree.lock:  # blocks the reader
            (root / "before" / "inner").mkdir()
            (root / "before").rename(root / "after")
        session.wait_until_caught_up()
        session.maintain_until(lambda: len(watch) == 3)
        recorder.clear()
        write(root / "after" / "inner" / "file")
        session.wait_until_caught_up()
        assert recorder.announced_at(root / "after" / "inner" / "file")

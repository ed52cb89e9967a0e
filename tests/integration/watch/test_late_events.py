"""Events that are read long after they happened, when the tree has changed again."""

import ctypes
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hashwacht.core.watch_events import Announcement, Root
from hashwacht.platform.filesystems.mounts import Mounts
from hashwacht.watch.inotify import InotifyRoot, InotifyWatch
from hashwacht.watch.inotify_api import InotifyInstance
from hashwacht.watch.root_state import read_root_state
from support.watch.watch_chaos import Chaos
from support.watch.watching import PATIENCE, OwnMounts, WatchRecorder, WatchSession, write

RENAME_EXCHANGE = 2
AT_FDCWD = -100


class BlockingRecorder(WatchRecorder):
    """Blocks in the announcement of a file ``busy``, so that no more events are read."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.go_on = threading.Event(), threading.Event()

    def announce(self, announcement: Announcement) -> None:
        super().announce(announcement)
        if announcement.path.endswith(b"/busy"):
            self.held.set()
            assert self.go_on.wait(PATIENCE)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "root"
    path.mkdir()
    return path


@contextmanager
def watched(top: Path, recorder: WatchRecorder) -> Iterator[tuple[InotifyRoot, WatchSession]]:
    """Watch one root."""
    root, mounts = Root("root", bytes(top)), Mounts()
    state = read_root_state(root, mounts)
    assert state is not None
    with closing(mounts), closing(InotifyRoot(root, state, recorder)) as watch:
        yield watch, WatchSession(watch, recorder, top)  # type: ignore[arg-type]  # it has ``maintain``


@contextmanager
def nothing_read(session: WatchSession, recorder: BlockingRecorder) -> Iterator[None]:
    """Delay the reading of all events until the context ends."""
    recorder.held.clear()
    recorder.go_on.clear()
    write(session.top / "busy")
    assert recorder.held.wait(PATIENCE)
    try:
        yield
    finally:
        recorder.go_on.set()
    session.wait_until_caught_up()
    (session.top / "busy").unlink()


def is_announced(session: WatchSession, path: Path) -> None:
    """Check that a file written now is announced, directly or as part of a tree."""
    session.recorder.clear()
    write(path)
    session.maintain_until(lambda: session.recorder.covers(path))


def exchange(one: Path, other: Path) -> None:
    """Swap two names atomically; skip where that is not possible."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        pytest.skip("the C library has no renameat2")
    paths = AT_FDCWD, bytes(one), AT_FDCWD, bytes(other)
    if libc.renameat2(*paths, RENAME_EXCHANGE) != 0:
        pytest.skip(f"nothing can be exchanged here: {os.strerror(ctypes.get_errno())}")


def test_files_in_an_unplaced_directory_are_announced_later(
    top: Path,
) -> None:
    """It is watched throughout; maintenance finds its path."""
    recorder = BlockingRecorder()
    (top / "from/inner").mkdir(parents=True)
    (top / "above/to").mkdir(parents=True)
    with watched(top, recorder) as (watch, session):
        with nothing_read(session, recorder):
            (top / "from/inner").rename(top / "above/to/inner")
            (top / "above").rename(top / "renamed")
        recorder.clear()
        path = top / "renamed/to/inner/file"
        write(path)
        session.wait_until_caught_up()
        session.maintain_until(lambda: recorder.covers(path))
        assert len(watch) == 5


@pytest.mark.parametrize("times", range(3, 15))
def test_a_missing_directory_is_found_once_the_rename_is_read(top: Path, times: int) -> None:
    """It is still in its parent, whose new name is not known yet."""
    recorder = BlockingRecorder()
    (top / "above/middle/inner").mkdir(parents=True)
    with watched(top, recorder) as (watch, session):
        with nothing_read(session, recorder):
            (top / "above/middle/brief").mkdir()
            (top / "above").rename(top / "away")
        with nothing_read(session, recorder):
            (top / "away/middle/brief").rmdir()
            (top / "away").rename(top / "renamed")
            for _ in range(times):
                session.watch.maintain()
        session.maintain_until(lambda: len(watch) == 4)
        is_announced(session, top / "renamed/middle/inner/file")
        is_announced(session, top / "renamed/middle/file")


def test_a_replaced_directory_is_not_confused_with_its_successor(
    top: Path,
) -> None:
    """An example is a site replaced by ``mv site old; mv new site``, both with an upload folder."""
    recorder = BlockingRecorder()
    (top / "site").mkdir()
    (top / "new/uploads").mkdir(parents=True)
    with watched(top, recorder) as (watch, session):
        with nothing_read(session, recorder):
            (top / "site/uploads").mkdir()
            (top / "site").rename(top / "old")
            (top / "new").rename(top / "site")
        session.maintain_until(lambda: len(watch) == 5)
        is_announced(session, top / "site/uploads/file")
        is_announced(session, top / "old/uploads/file")


def test_directories_that_are_exchanged_stay_watched(top: Path) -> None:
    """The kernel reports the arrival of one before the departure of the other."""
    recorder = WatchRecorder()
    (top / "a/one/deep").mkdir(parents=True)
    (top / "b/other/deep").mkdir(parents=True)
    with watched(top, recorder) as (watch, session):
        exchange(top / "a/one", top / "b/other")
        session.wait_until_caught_up()
        for _ in range(5):
            session.watch.maintain()
        assert len(watch) == 7
        is_announced(session, top / "a/one/deep/file")
        is_announced(session, top / "b/other/deep/file")


def test_a_mount_below_a_renamed_directory_is_watched(top: Path, mounts: OwnMounts) -> None:
    """The kernel reports a mount at once, with its present path."""
    recorder, watch = BlockingRecorder(), InotifyWatch()
    (top / "before/point").mkdir(parents=True)
    watch.start([Root("root", bytes(top))], recorder)
    session = WatchSession(watch, recorder, top)
    with closing(watch):
        with nothing_read(session, recorder):
            (top / "before").rename(top / "after")
            mounts.memory(top / "after/point")
            watch.maintain()
        (top / "after/point/inner").mkdir()
        is_announced(session, top / "after/point/file")
        is_announced(session, top / "after/point/inner/file")


class SlowInotify:
    """An inotify instance, and an action that runs once, right after a watch was added."""

    def __init__(self, inotify: InotifyInstance, action: Callable[[], None]) -> None:
        self._inotify, self._actions = inotify, [action]

    def add_watch(self, fd: int, events: int, key: int) -> int:
        wd = self._inotify.add_watch(fd, events, key)
        if self._actions:
            self._actions.pop()()
        return wd

    def remove_watches(self, watches: Iterable[tuple[int, int]]) -> None:
        self._inotify.remove_watches(watches)


def test_a_directory_renamed_during_placing_gets_its_new_path(
    top: Path,
) -> None:
    """One thread locates it, then the other reads that it was moved."""
    recorder = BlockingRecorder()
    (top / "from").mkdir()
    (top / "to").mkdir()
    with watched(top, recorder) as (watch, session):
        tree = watch._tree

        def rename() -> None:
            recorder.go_on.set()
            (top / "from/inner").rename(top / "to/renamed")
            mark = top / "mark"
            write(mark)
            with recorder.changed:  # the reader may be blocked, so this may not happen
                recorder.changed.wait_for(lambda: recorder.covers(mark), 0.5)

        with nothing_read(session, recorder):
            (top / "from/inner").mkdir()
            tree._inotify = SlowInotify(tree._inotify, rename)  # type: ignore[assignment]  # a stand-in
            tree.uncertain.add(tree.directories.find(bytes(top / "from")).wd)  # type: ignore[union-attr]  # it is there
            session.watch.maintain()
        is_announced(session, top / "to/renamed/file")
        assert recorder.announced_at(top / "to/renamed/file")
        assert tree.directories.find(bytes(top / "to/renamed")) is not None


class SlowRecorder(WatchRecorder):
    """Sleeps at times, so that events are read late."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def announce(self, announcement: Announcement) -> None:
        super().announce(announcement)
        if self._random.random() < 0.3:
            time.sleep(self._random.random() / 100)


@pytest.mark.parametrize("seed", range(4))
def test_every_file_is_announced_however_late_events_are_read(top: Path, seed: int) -> None:
    """Maintenance after every step finds many changes before their events are read."""
    recorder, watch, outside = SlowRecorder(seed), InotifyWatch(), top.parent / "outside"
    outside.mkdir()
    watch.start([Root("root", bytes(top))], recorder)
    with closing(watch):
        chaos = Chaos(WatchSession(watch, recorder, top), outside, seed)
        for _ in range(300):
            chaos.step()
            watch.maintain()
        chaos.check()
        chaos.write_everywhere()
        chaos.check()
        assert not recorder.gaps

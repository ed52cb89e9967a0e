"""More than the kernel, or we, can hold: nothing is lost without being said."""

import fcntl
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from hashwacht.announcement import Announcement, Cause, Listener, Root, Watch
from hashwacht.intake.announced import Announced
from hashwacht.intake.watch_fanotify import FanotifyWatch
from hashwacht.intake.watch_watchdog import WatchdogWatch
from hashwacht.testing.watching import (
    Ear,
    Watching,
    may_use_fanotify,
    watcher_process,
    watching,
    write,
)

FLOOD = """
import os, sys
for number in range(int(sys.argv[2])):
    if number % 100 == 0:
        directory = f"{sys.argv[1]}/{sys.argv[3]}{number}"
        os.mkdir(directory)
    os.close(os.open(f"{directory}/{number}", os.O_CREAT | os.O_WRONLY))
"""
FILES = 20_000


@contextmanager
def small_queue(kind: str, events: int = 40) -> Iterator[None]:
    """Let queues that are made meanwhile hold few events."""
    setting = Path(f"/proc/sys/fs/{kind}/max_queued_events")
    before = setting.read_text()
    try:
        setting.write_text(str(events))
    except OSError:
        pytest.skip(f"fs.{kind}.max_queued_events may not be set here")
    try:
        yield
    finally:
        setting.write_text(before)


class Small:
    """A Watch whose kernel queue is small; others, in other tests, get theirs as large as ever."""

    def __init__(self, kind: str, watch: Watch) -> None:
        self._kind, self._watch = kind, watch
        self.tend, self.renew, self.close = watch.tend, watch.renew, watch.close

    def start(self, roots: Sequence[Root], listener: Listener) -> None:
        with small_queue(self._kind):  # it is as long as it was allowed to be when it was made
            self._watch.start(roots, listener)


@pytest.fixture
def alone() -> Iterator[None]:
    """Flood one at a time: fanotify would hear the other flood on the same file system."""
    with (Path(tempfile.gettempdir()) / "hashwacht-floods").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


@pytest.fixture(params=["inotify", "fanotify"])
def make(
    request: pytest.FixtureRequest,
    socket_path: Path,
    alone: None,  # noqa: ARG001  # in force while the test runs
) -> Iterator[Callable[[], Watch]]:
    """Give what makes a Watch whose kernel queue is small."""
    if request.param == "inotify":
        yield lambda: Small("inotify", WatchdogWatch())
        return
    if not may_use_fanotify():
        pytest.skip("fanotify needs CAP_SYS_ADMIN")
    with watcher_process(socket_path):
        yield lambda: Small("fanotify", FanotifyWatch(socket_path))


def missed_none(here: Watching, path: Path, gaps: int) -> bool:
    """Say if a file is announced, or written while the end of the flood was still overflowing."""
    return here.ear.covers(path) or len(here.ear.gaps) > gaps


def flood(top: Path, name: str, files: int = FILES) -> set[bytes]:
    """Write files into new directories, as fast as it goes, in another process."""
    subprocess.run([sys.executable, "-c", FLOOD, str(top), str(files), name], check=True)
    return {os.fsencode(f"{top}/{name}{number // 100 * 100}/{number}") for number in range(files)}


def test_an_overflow_of_the_kernels_queue_is_a_gap_and_all_is_watched_afterwards(
    make: Callable[[], Watch], memory: Path
) -> None:
    root = memory / "root"
    root.mkdir()
    with watching(make(), [root]) as here:
        paths = flood(root, "d")
        here.until(lambda: Cause.OVERFLOW in here.ear.causes())
        for path in (path for path in paths if path.endswith(b"50")):
            late, gaps = Path(os.fsdecode(path + b".late")), len(here.ear.gaps)
            write(late)
            here.tend_until(lambda late=late, gaps=gaps: missed_none(here, late, gaps))  # type: ignore[misc]  # bound now


def test_everything_is_taken_or_missed_whatever_overflows(
    make: Callable[[], Watch], memory: Path
) -> None:
    """The kernel's queue holds 40 events, ours 100 paths, and somebody takes slowly."""
    root, queue, taken = memory / "root", Announced(100), set[bytes]()
    root.mkdir()
    causes, done = set[Cause](), threading.Event()

    def take() -> None:
        while not done.is_set() or len(queue):
            files, gaps = queue.take(50, 0.1)
            causes.update(each.cause for each in gaps)
            taken.update(each.path for each in files)

    watch = make()
    watch.start([Root("root", bytes(root))], queue)
    thread = threading.Thread(target=take)
    thread.start()
    paths = flood(root, "d")
    done.set()
    thread.join()
    watch.close()
    missing = {path for path in paths if path not in taken and os.path.split(path)[0] not in taken}
    assert not missing or causes & {Cause.OVERFLOW, Cause.QUEUE_FULL}
    assert causes, "the queues were not too small"


def test_a_hundred_thousand_directories_are_watched(memory: Path, socket_path: Path) -> None:
    root = memory / "root"
    for number in range(100):
        (root / f"{number}").mkdir(parents=True)
        for inner in range(1000):
            (root / f"{number}/{inner}").mkdir()
    with watching(WatchdogWatch(), [root]) as here:
        write(root / "99" / "999" / "a")
        here.covered(root / "99" / "999" / "a")
        (root / "99").rename(root / "renamed")
        write(root / "renamed" / "0" / "b")
        here.until(lambda: bool(here.ear.named(root / "renamed" / "0" / "b")))
        here.watch.tend()
        assert not here.ear.gaps
    if may_use_fanotify():
        with (
            watcher_process(socket_path),
            watching(FanotifyWatch(socket_path), [root]) as here,
        ):
            write(root / "98" / "998" / "a")
            here.covered(root / "98" / "998" / "a")
            assert not here.ear.gaps


class Deaf(Ear):
    """Fails once, as no listener may."""

    failed = False

    def announce(self, announcement: Announcement) -> None:
        """Fail the first time."""
        if not self.failed:
            self.failed = True
            raise RuntimeError("on purpose")
        super().announce(announcement)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_a_gap_and_the_root_watched_anew(tmp_path: Path) -> None:
    root, ear, watch = tmp_path.resolve() / "root", Deaf(), WatchdogWatch()
    root.mkdir()
    before = set(threading.enumerate())
    watch.start([Root("root", bytes(root))], ear)
    (thread,) = set(threading.enumerate()) - before
    write(root / "a")
    thread.join(5)
    assert not thread.is_alive()
    watch.tend()
    assert ear.causes() == {Cause.DEAD_WATCH}
    write(root / "b")
    with ear.changed:
        assert ear.changed.wait_for(lambda: ear.covers(root / "b"), 5)
    watch.close()


LIMITED = """
import sys
from pathlib import Path
from hashwacht.announcement import Cause
from hashwacht.intake.watch_watchdog import WatchdogWatch
from hashwacht.testing.watching import watching, write

limit, top, now = Path("/proc/sys/user/max_inotify_watches"), Path(sys.argv[1]), [0.0]
(top / "root/before").mkdir(parents=True)
limit.write_text("30")
with watching(WatchdogWatch(clock=lambda: now[0]), [top / "root"]) as here:
    assert not here.ear.gaps
    for number in range(50):
        (top / f"root/{number}").mkdir()
        write(top / f"root/{number}/a")
    here.covered(*(top / f"root/{number}/a" for number in range(50)))
    here.until(lambda: here.ear.causes() == {Cause.WATCH_LIMIT})
    here.ear.forget()
    here.watch.tend()
    assert not here.ear.gaps, "it is not said all the time"
    now[0] = 61
    here.watch.tend()
    assert here.ear.causes() == {Cause.WATCH_LIMIT}, "but as long as it lasts"
    limit.write_text("1000")
    now[0] = 600
    here.watch.tend()
    here.ear.forget()
    write(top / "root/49/b")
    here.until(lambda: bool(here.ear.named(top / "root/49/b")))
    assert not here.ear.gaps
limit.write_text("30")
with watching(WatchdogWatch(), [top / "root"]) as here:
    here.until(lambda: here.ear.causes() == {Cause.WATCH_LIMIT})
limit.write_text("0")
with watching(WatchdogWatch(), [top / "root"]) as here:
    here.until(lambda: here.ear.causes() == {Cause.WATCH_LIMIT})
print("well")
"""


def test_a_limit_of_watches_that_is_reached_is_a_gap_until_it_is_raised(tmp_path: Path) -> None:
    """At the start, and later; in a user namespace, whose limit is its own."""
    program = [sys.executable, "-c", LIMITED, str(tmp_path.resolve())]
    command = ["unshare", "--user", "--map-root-user", *program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if "unshare" in done.stderr and "failed" in done.stderr:
        pytest.skip(f"no user namespace is to be had here: {done.stderr}")
    assert done.stdout == "well\n", done.stderr


LOCKED = """
import sys
from pathlib import Path
from hashwacht.announcement import Cause
from hashwacht.intake.privileges import keep
from hashwacht.intake.watch_watchdog import WatchdogWatch
from hashwacht.testing.watching import watching, write

keep(())
top, now = Path(sys.argv[1]), [0.0]
locked = top / "root/a/locked"
(locked / "inner").mkdir(parents=True)
locked.chmod(0)
with watching(WatchdogWatch(clock=lambda: now[0]), [top / "root"]) as here:
    assert {(each.cause, each.path) for each in here.ear.gaps} == {
        (Cause.UNLISTED, bytes(locked))
    }
    locked.chmod(0o700)
    now[0] = 61
    here.tend_until(lambda: here.ear.covers(locked / "inner"))
    write(locked / "inner/b")
    here.until(lambda: bool(here.ear.named(locked / "inner/b")))
print("well")
"""


def test_a_directory_that_may_not_be_read_is_a_gap_until_it_may(tmp_path: Path) -> None:
    """Root may read all, so the program gives up its capabilities."""
    command = [sys.executable, "-c", LOCKED, str(tmp_path.resolve())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout == "well\n", done.stderr

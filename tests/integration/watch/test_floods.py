"""More events than the kernel's or our queue holds: nothing is lost without a report."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hashwacht.core.watch_events import Announcement, Cause, Root, Watch
from hashwacht.watch.fanotify_client import FanotifyWatch
from hashwacht.watch.inotify import InotifyWatch
from hashwacht.watch.queue import AnnouncementQueue
from support.kernel import may_use_fanotify, small_queue
from support.watch.watching import (
    WatchRecorder,
    WatchSession,
    watcher_process,
    watching,
    write,
)

pytestmark = pytest.mark.alone

FLOOD = """
import os, sys
def make(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))

for number in range(int(sys.argv[2])):
    if number % 100 == 0:
        directory = f"{sys.argv[1]}/{sys.argv[3]}{number}"
        os.mkdir(directory)
    make(f"{directory}/{number}")
    make(f"{directory}+{number}")
"""
FILES = 10_000


@dataclass(frozen=True, slots=True)
class SmallQueue:
    """A factory of a Watch with a small kernel queue, and a way to stall its reader."""

    make: Callable[[], Watch]
    stall: Callable[[subprocess.Popen[bytes]], None]
    """Keep the Watch from reading, most of the time until a process has ended."""


def hold_the_interpreter(until: subprocess.Popen[bytes]) -> None:
    """Block most other threads of this process: a long call in C does not release the lock."""
    while until.poll() is None:
        sum(range(5_000_000))


@pytest.fixture(params=["inotify", "fanotify"])
def small(request: pytest.FixtureRequest, socket_path: Path) -> Iterator[SmallQueue]:
    """Return a Watch with a small kernel queue."""
    if request.param == "fanotify" and not may_use_fanotify():
        pytest.skip("fanotify needs CAP_SYS_ADMIN")
    try:
        with small_queue(request.param):
            yield from inotify() if request.param == "inotify" else fanotify(socket_path)
    except OSError as error:
        pytest.skip(f"the kernel's queue cannot be made small: {error}")


def inotify() -> Iterator[SmallQueue]:
    watch = InotifyWatch()
    yield SmallQueue(lambda: watch, hold_the_interpreter)


def fanotify(socket_path: Path) -> Iterator[SmallQueue]:
    with watcher_process(socket_path) as watcher:

        def stop(until: subprocess.Popen[bytes]) -> None:
            watcher.send_signal(signal.SIGSTOP)
            until.wait()
            watcher.send_signal(signal.SIGCONT)

        yield SmallQueue(lambda: FanotifyWatch(socket_path), stop)


def flood(top: Path, name: str, small: SmallQueue) -> set[bytes]:
    """Write files from another process, faster than their events are read.

    They go into new directories and into existing ones: the kernel reports nothing of a directory
    that is not watched yet, so its queue might not overflow otherwise.
    """
    command = [sys.executable, "-c", FLOOD, str(top), str(FILES), name]
    with subprocess.Popen(command) as writer:
        small.stall(writer)
    assert writer.returncode == 0
    return {os.fsencode(f"{top}/{name}{number // 100 * 100}/{number}") for number in range(FILES)}


def is_announced(session: WatchSession, path: Path) -> bool:
    """Write a file; return whether this or an earlier write of it was announced."""
    write(path)
    return session.recorder.covers(path)


def test_a_kernel_queue_overflow_is_a_gap_and_the_watch_goes_on(
    small: SmallQueue, memory: Path
) -> None:
    root = memory / "root"
    root.mkdir()
    with watching(small.make(), [root]) as session:
        paths = flood(root, "d", small)
        session.wait_until(lambda: Cause.OVERFLOW in session.recorder.causes())
        session.maintain_until(lambda: is_announced(session, root / "over"))
        for path in (path for path in paths if path.endswith(b"50")):
            late = Path(os.fsdecode(path + b".late"))
            session.maintain_until(lambda late=late: is_announced(session, late))  # type: ignore[misc]  # bound now


def test_what_does_not_fit_into_the_queues_is_said_to_be_missed(
    small: SmallQueue, memory: Path
) -> None:
    """The kernel's queue holds 64 events, ours 100 paths."""
    root, queue = memory / "root", AnnouncementQueue(100)
    root.mkdir()
    watch = small.make()
    watch.start([Root("root", bytes(root))], queue)
    try:
        paths = flood(root, "d", small)
        names, causes, until = set[bytes](), set[Cause](), time.monotonic() + 8
        while not causes & {Cause.OVERFLOW, Cause.QUEUE_FULL} and time.monotonic() < until:
            files, gaps = queue.drain(50, 0.1)
            causes.update(missed.cause for missed in gaps)
            names.update(announcement.path for announcement in files)
        assert causes & {Cause.OVERFLOW, Cause.QUEUE_FULL}, len(paths - names)
    finally:
        watch.close()


def test_a_hundred_thousand_directories_are_watched(memory: Path, socket_path: Path) -> None:
    root = memory / "root"
    for number in range(100):
        (root / f"{number}").mkdir(parents=True)
        for inner in range(1000):
            (root / f"{number}/{inner}").mkdir()
    with watching(InotifyWatch(), [root]) as session:
        write(root / "99" / "999" / "a")
        session.wait_until_announced(root / "99" / "999" / "a")
        (root / "99").rename(root / "renamed")
        write(root / "renamed" / "0" / "b")
        session.wait_until(
            lambda: bool(session.recorder.announced_at(root / "renamed" / "0" / "b"))
        )
        session.watch.maintain()
        assert not session.recorder.gaps
    if may_use_fanotify():
        with (
            watcher_process(socket_path),
            watching(FanotifyWatch(socket_path), [root]) as session,
        ):
            write(root / "98" / "998" / "a")
            session.wait_until_announced(root / "98" / "998" / "a")
            assert not session.recorder.gaps


class FailingListener(WatchRecorder):
    """Fails once, which a listener must not do."""

    failed = False

    def announce(self, announcement: Announcement) -> None:
        """Fail the first time."""
        if not self.failed:
            self.failed = True
            raise RuntimeError("on purpose")
        super().announce(announcement)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_a_gap_and_its_watch_renewed(tmp_path: Path) -> None:
    root, recorder, watch = tmp_path.resolve() / "root", FailingListener(), InotifyWatch()
    root.mkdir()
    before = set(threading.enumerate())
    watch.start([Root("root", bytes(root))], recorder)
    (thread,) = set(threading.enumerate()) - before
    write(root / "a")
    thread.join(5)
    assert not thread.is_alive()
    watch.maintain()
    assert recorder.causes() == {Cause.DEAD_WATCH}
    write(root / "b")
    with recorder.changed:
        assert recorder.changed.wait_for(lambda: recorder.covers(root / "b"), 5)
    watch.close()


LIMITED = """
import sys
from pathlib import Path
from hashwacht.core.watch_events import Cause
from hashwacht.watch.inotify import InotifyWatch
from support.watch.watching import watching, write

limit, top, now = Path("/proc/sys/user/max_inotify_watches"), Path(sys.argv[1]), [0.0]
(top / "root/before").mkdir(parents=True)
limit.write_text("30")
with watching(InotifyWatch(clock=lambda: now[0]), [top / "root"]) as session:
    assert not session.recorder.gaps
    for number in range(50):
        (top / f"root/{number}").mkdir()
        write(top / f"root/{number}/a")
    session.wait_until_announced(*(top / f"root/{number}/a" for number in range(50)))
    session.wait_until(lambda: session.recorder.causes() == {Cause.WATCH_LIMIT})
    session.recorder.clear()
    session.watch.maintain()
    assert not session.recorder.gaps, "it is not said all the time"
    now[0] = 61
    session.watch.maintain()
    assert session.recorder.causes() == {Cause.WATCH_LIMIT}, "but as long as it lasts"
    limit.write_text("1000")
    now[0] = 600
    session.watch.maintain()
    session.recorder.clear()
    write(top / "root/49/b")
    session.wait_until(lambda: bool(session.recorder.announced_at(top / "root/49/b")))
    assert not session.recorder.gaps
limit.write_text("30")
with watching(InotifyWatch(), [top / "root"]) as session:
    session.wait_until(lambda: session.recorder.causes() == {Cause.WATCH_LIMIT})
limit.write_text("0")
with watching(InotifyWatch(), [top / "root"]) as session:
    session.wait_until(lambda: session.recorder.causes() == {Cause.WATCH_LIMIT})
print("well")
"""


def test_reaching_the_watch_limit_is_a_gap_until_it_is_raised(tmp_path: Path) -> None:
    """It is reached at the start and later, in a user namespace with a limit of its own."""
    program = [sys.executable, "-c", LIMITED, str(tmp_path.resolve())]
    command = ["unshare", "--user", "--map-root-user", *program]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if "unshare" in result.stderr and "failed" in result.stderr:
        pytest.skip(f"no user namespace is available here: {result.stderr}")
    assert result.stdout == "well\n", result.stderr


LOCKED = """
import sys
from pathlib import Path
from hashwacht.core.watch_events import Cause
from hashwacht.platform.process import limit_capabilities
from hashwacht.watch.inotify import InotifyWatch
from support.watch.watching import watching, write

limit_capabilities(())
top, now = Path(sys.argv[1]), [0.0]
locked = top / "root/a/locked"
(locked / "inner").mkdir(parents=True)
locked.chmod(0)
with watching(InotifyWatch(clock=lambda: now[0]), [top / "root"]) as session:
    assert {(each.cause, each.path) for each in session.recorder.gaps} == {
        (Cause.UNLISTED, bytes(locked))
    }
    locked.chmod(0o700)
    now[0] = 61
    session.maintain_until(lambda: session.recorder.covers(locked / "inner"))
    write(locked / "inner/b")
    session.wait_until(lambda: bool(session.recorder.announced_at(locked / "inner/b")))
print("well")
"""


def test_a_directory_that_may_not_be_read_is_a_gap_until_it_may(tmp_path: Path) -> None:
    """Root may read all, so the program gives up its capabilities."""
    command = [sys.executable, "-c", LOCKED, str(tmp_path.resolve())]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert result.stdout == "well\n", result.stderr

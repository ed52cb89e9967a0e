"""Hearing what a Watch says, waiting for it, and running a watcher process, for tests."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hashwacht.core.watch_events import (
    Announcement,
    Cause,
    Change,
    MissedEvents,
    Root,
    Watch,
    WatchListener,
)
from hashwacht.watch.canary import NAME

PATIENCE = 8.0
"""Seconds in which everything that is waited for must have happened."""

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 1, 32, 4096, 16384, 1 << 18, 2
CLONE_FS, CLONE_NEWNS = 0x200, 0x2_0000
"""mount(2), umount2(2), unshare(2)."""


class WatchRecorder:
    """A Listener that keeps everything."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.heard: list[Announcement] = []
        self.gaps: list[MissedEvents] = []
        self.changed = threading.Condition()

    def announce(self, announcement: Announcement) -> None:
        """Keep it."""
        with self.changed:
            self.heard.append(announcement)
            self.changed.notify_all()

    def report_missed(self, missed: MissedEvents) -> None:
        """Keep it."""
        with self.changed:
            self.gaps.append(missed)
            self.changed.notify_all()

    def forget(self) -> None:
        """Begin anew."""
        with self.changed:
            self.heard, self.gaps = [], []

    def latest(self) -> tuple[list[Announcement], list[MissedEvents]]:
        """Give the end of what was heard."""
        with self.changed:
            return self.heard[-20:], self.gaps[-20:]

    def named(self, path: Path) -> list[Announcement]:
        """Give the announcements of this very path."""
        with self.changed:
            return [each for each in self.heard if each.path == bytes(path)]

    def changes(self, path: Path) -> set[Change]:
        """Return what was announced of this very path."""
        return {each.change for each in self.named(path)}

    def covers(self, path: Path) -> bool:
        """Say if a file was announced, by itself or with a tree that it lies in."""
        name = bytes(path)
        with self.changed:
            return any(
                each.path == name or (each.tree and name.startswith(each.path + b"/"))
                for each in self.heard
            )

    def causes(self, root: str = "root") -> set[Cause]:
        """Give the causes of the gaps in a root."""
        with self.changed:
            return {each.cause for each in self.gaps if each.root == root}


@dataclass(frozen=True, slots=True)
class Watching:
    """A Watch at work, and what it has said."""

    watch: Watch
    ear: WatchRecorder
    top: Path
    """The first root."""

    def until(self, happens: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait, without tending, for something that the Watch says by itself."""
        with self.ear.changed:
            assert self.ear.changed.wait_for(happens, seconds), self.ear.latest()

    def tend_until(self, happens: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Do what the daemon does every few seconds, until something has happened."""
        deadline = time.monotonic() + seconds
        while not happens():
            assert time.monotonic() < deadline, self.ear.latest()
            self.watch.maintain()
            with self.ear.changed:
                self.ear.changed.wait(0.02)

    def covered(self, *paths: Path) -> None:
        """Wait until all these have been announced, in whatever way."""
        for path in paths:
            self.until(lambda path=path: self.ear.covers(path))  # type: ignore[misc]  # bound now

    def caught_up(self) -> None:
        """Wait until everything that has happened up to now has been heard of."""
        mark = self.top / f"mark-{time.monotonic_ns()}"
        write(mark)
        self.covered(mark)


@contextmanager
def watching(watch: Watch, places: Sequence[Path]) -> Iterator[Watching]:
    """Watch some roots for a while, each under its own name."""
    ear = WatchRecorder()
    watch.start([Root(each.name, bytes(each)) for each in places], ear)
    try:
        yield Watching(watch, ear, places[0])
    finally:
        watch.close()


def write(path: Path, content: bytes = b"x") -> None:
    """Write a file and close it."""
    path.write_bytes(content)


class DeafWatch:
    """A Watch that never says anything until it is renewed, and then only of canaries."""

    def __init__(self) -> None:
        """Be deaf."""
        self.renewed = 0

    def start(self, roots: Sequence[Root], listener: WatchListener) -> None:
        """Hear nothing."""
        self._roots, self._listener = roots, listener

    def maintain(self) -> None:
        """Say that canaries were written, whether they were or not."""
        if self.renewed:
            for root in self._roots:
                self._listener.announce(Announcement(root.name, root.path + b"/" + NAME))

    def renew(self, root: str) -> None:
        """Hear canaries from now on."""
        assert root in {each.name for each in self._roots}
        self.renewed += 1

    def close(self) -> None:
        """Have nothing to close."""


_SERVE = """
import signal, sys, threading
from pathlib import Path
from hashwacht.watch.fanotify_daemon import serve
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
serve(Path(sys.argv[1]), stop)
"""


@contextmanager
def watcher_process(at: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the watcher as a process of its own, with its socket at *at*."""
    command = [sys.executable, "-c", _SERVE, str(at)]
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


class OwnMounts:
    """Mounts that nobody but the calling thread, and what it starts, can see."""

    def __init__(self) -> None:
        """Leave the mounts that all others see.  Raises OSError where that is not to be had."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._here = Path.cwd()
        self._before = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._check(self._libc.unshare(CLONE_NEWNS))
            self._mount("none", Path("/"), None, MS_REC | MS_PRIVATE)
        except OSError:
            os.close(self._before)
            raise

    def memory(self, at: Path) -> None:
        """Mount an empty file system."""
        self._mount("none", at, b"tmpfs", 0)

    def bind(self, directory: Path, at: Path) -> None:
        """Mount a directory a second time."""
        self._mount(str(directory), at, None, MS_BIND)

    def overlay(self, at: Path) -> None:
        """Mount an overlay over a directory, which holds its parts.  Raises OSError."""
        for name in ("lower", "upper", "work"):
            (at / name).mkdir()
        options = f"lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work"
        self._run("mount", "-t", "overlay", "overlay", "-o", options, str(at))

    def read_only(self, at: Path) -> None:
        """Let nobody write to what is mounted there."""
        self._mount("none", at, None, MS_REMOUNT | MS_RDONLY)

    def disk(self, image: Path, at: Path) -> None:
        """Mount an image of a disk, which is made unless it is there.  Raises OSError."""
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(2 << 20)
            self._run("mkfs.ext4", "-q", "-F", str(image))
        deadline = time.monotonic() + PATIENCE
        while self._said("losetup", "--associated", str(image)):
            assert time.monotonic() < deadline, "another mount namespace keeps it"
            time.sleep(0.02)  # unmounted, and the kernel still at it: there would be two of them
        self._run("mount", "-o", "loop", str(image), str(at))

    def unmount(self, at: Path) -> None:
        """Unmount it, as soon as nobody uses it any more."""
        self._check(self._libc.umount2(bytes(at), MNT_DETACH))

    def close(self) -> None:
        """Go back to the mounts that all others see; ours are gone then."""
        try:
            self._check(self._libc.unshare(CLONE_FS))  # a thread that ends may still share it
            self._check(self._libc.setns(self._before, CLONE_NEWNS))
        finally:
            os.close(self._before)
        os.chdir(self._here)

    def _mount(self, what: str, at: Path, kind: bytes | None, flags: int) -> None:
        source, options = what.encode(), ctypes.c_ulong(flags)
        self._check(self._libc.mount(source, bytes(at), kind, options, None))

    def _said(self, *command: str) -> bytes:
        """Run a program with these mounts; give what it printed."""
        return subprocess.run(command, check=True, capture_output=True).stdout

    def _run(self, *command: str) -> None:
        try:
            subprocess.run(command, check=True, capture_output=True)
        except subprocess.CalledProcessError as error:
            raise OSError(f"{command[0]}: {error.stderr!r}") from error

    def _check(self, result: int) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

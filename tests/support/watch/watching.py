"""A recorder of what a Watch announces, waits for it, and a watcher process, for tests."""

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
    WatchPosition,
)
from hashwacht.watch.canary import NAME

PATIENCE = 8.0
"""Seconds in which everything that is waited for must have happened."""

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 1, 32, 4096, 16384, 1 << 18, 2
DISK_SIZES = {"ext4": 2, "btrfs": 128, "xfs": 300}
"""MiB of an image, most of which is never written."""

CLONE_FS, CLONE_NEWNS = 0x200, 0x2_0000
"""mount(2), umount2(2), unshare(2)."""


class WatchRecorder:
    """A listener that records everything."""

    def __init__(self) -> None:
        """Start with empty records."""
        self.announcements: list[Announcement] = []
        self.gaps: list[MissedEvents] = []
        self.position: WatchPosition | None = None
        self.changed = threading.Condition()

    def announce(self, announcement: Announcement) -> None:
        """Record an announcement."""
        with self.changed:
            self.announcements.append(announcement)
            self.changed.notify_all()

    def report_missed(self, missed: MissedEvents) -> None:
        """Record a gap."""
        with self.changed:
            self.gaps.append(missed)
            self.changed.notify_all()

    def reach(self, position: WatchPosition) -> None:
        """Record a position."""
        with self.changed:
            self.position = position
            self.changed.notify_all()

    def clear(self) -> None:
        """Clear the records."""
        with self.changed:
            self.announcements, self.gaps = [], []

    def latest(self) -> tuple[list[Announcement], list[MissedEvents]]:
        """Return the last records."""
        with self.changed:
            return self.announcements[-20:], self.gaps[-20:]

    def announced_at(self, path: Path) -> list[Announcement]:
        """Return the announcements of exactly this path."""
        with self.changed:
            return [
                announcement
                for announcement in self.announcements
                if announcement.path == bytes(path)
            ]

    def changes(self, path: Path) -> set[Change]:
        """Return the changes announced of exactly this path."""
        return {announcement.change for announcement in self.announced_at(path)}

    def covers(self, path: Path) -> bool:
        """Return whether a file was announced, directly or as part of a tree."""
        name = bytes(path)
        with self.changed:
            return any(
                announcement.path == name
                or (announcement.tree and name.startswith(announcement.path + b"/"))
                for announcement in self.announcements
            )

    def causes(self, root: str = "root") -> set[Cause]:
        """Return the causes of the gaps in a root."""
        with self.changed:
            return {missed.cause for missed in self.gaps if missed.root == root}


@dataclass(frozen=True, slots=True)
class WatchSession:
    """A running Watch and its recorder."""

    watch: Watch
    recorder: WatchRecorder
    top: Path
    """The first root."""

    def wait_until(self, happens: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait, without maintenance, for a condition that events bring about."""
        with self.recorder.changed:
            assert self.recorder.changed.wait_for(happens, seconds), self.recorder.latest()

    def maintain_until(self, happens: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Run the periodic maintenance until a condition holds."""
        deadline = time.monotonic() + seconds
        while not happens():
            assert time.monotonic() < deadline, self.recorder.latest()
            self.watch.maintain()
            with self.recorder.changed:
                self.recorder.changed.wait(0.02)

    def wait_until_announced(self, *paths: Path) -> None:
        """Wait until all these paths have been announced, directly or as part of a tree."""
        for path in paths:
            self.wait_until(lambda path=path: self.recorder.covers(path))  # type: ignore[misc]  # bound now

    def wait_until_caught_up(self) -> None:
        """Wait until all events up to now have been announced."""
        mark = self.top / f"mark-{time.monotonic_ns()}"
        write(mark)
        self.wait_until_announced(mark)


@contextmanager
def watching(watch: Watch, places: Sequence[Path]) -> Iterator[WatchSession]:
    """Watch some roots, each under its own name, until the context ends."""
    recorder = WatchRecorder()
    watch.start([Root(path.name, bytes(path)) for path in places], recorder)
    try:
        yield WatchSession(watch, recorder, places[0])
    finally:
        watch.close()


def write(path: Path, content: bytes = b"x") -> None:
    """Write a file and close it."""
    path.write_bytes(content)


class SilentWatch:
    """A Watch that announces nothing until it is renewed, and then only canaries."""

    def __init__(self) -> None:
        """Start silent."""
        self.renewed = 0

    def start(
        self,
        roots: Sequence[Root],
        listener: WatchListener,
        since: object = None,  # noqa: ARG002  # the interface
    ) -> frozenset[str]:
        """Store the arguments."""
        self._roots, self._listener = roots, listener
        return frozenset()

    def acknowledge(self, position: object) -> None:
        """Do nothing."""

    def maintain(self) -> None:
        """Once renewed, announce the canaries, whether they were written or not."""
        if self.renewed:
            for root in self._roots:
                self._listener.announce(Announcement(root.name, root.path + b"/" + NAME))

    def renew(self, root: str) -> None:
        """Announce canaries from now on."""
        assert root in {root.name for root in self._roots}
        self.renewed += 1

    def lacks_watches(self, _root: str) -> bool | None:
        """Return None: it is not known."""

    def close(self) -> None:
        """Do nothing."""


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
    """Run the watcher in a separate process with its socket at *at*."""
    command = [sys.executable, "-c", _SERVE, str(at)]
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


class OwnMounts:
    """Mounts visible only to the calling thread and its children."""

    def __init__(self) -> None:
        """Enter a new mount namespace.  Raises OSError where that is not permitted."""
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
        """Mount an overlay over a directory that holds its layers.  Raises OSError."""
        for name in ("lower", "upper", "work"):
            (at / name).mkdir()
        options = f"lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work"
        self._run("mount", "-t", "overlay", "overlay", "-o", options, str(at))

    def read_only(self, at: Path) -> None:
        """Remount a file system read-only."""
        self._mount("none", at, None, MS_REMOUNT | MS_RDONLY)

    def disk(self, image: Path, at: Path, kind: str = "ext4") -> None:
        """Mount a disk image, created if missing.  Raises OSError."""
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(DISK_SIZES[kind] << 20)
            self._run(f"mkfs.{kind}", "-q", *(["-F"] if kind == "ext4" else []), str(image))
        deadline = time.monotonic() + PATIENCE
        while self._output("losetup", "--associated", str(image)):
            assert time.monotonic() < deadline, "another mount namespace keeps it"
            time.sleep(0.02)  # the kernel may still be detaching it
        self._run("mount", "-o", "loop", str(image), str(at))

    def unmount(self, at: Path) -> None:
        """Unmount it lazily."""
        self._check(self._libc.umount2(bytes(at), MNT_DETACH))

    def close(self) -> None:
        """Return to the former mount namespace; the mounts vanish with the other one."""
        try:
            self._check(self._libc.unshare(CLONE_FS))  # a thread that is ending may still share it
            self._check(self._libc.setns(self._before, CLONE_NEWNS))
        finally:
            os.close(self._before)
        os.chdir(self._here)

    def _mount(self, what: str, at: Path, kind: bytes | None, flags: int) -> None:
        source, options = what.encode(), ctypes.c_ulong(flags)
        self._check(self._libc.mount(source, bytes(at), kind, options, None))

    def _output(self, *command: str) -> bytes:
        """Run a program with these mounts; return its output."""
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

"""Restarts of the watcher and of the scanner under a service manager that stores descriptors."""

from __future__ import annotations

import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hashwacht.core.watch_events import Cause, Change, Root
from hashwacht.watch.fanotify_client import FanotifyWatch
from support.daemon.daemon_program import DaemonProgram
from support.kernel import may_use_fanotify
from support.program import PROGRAM
from support.service_manager import ManagedService
from support.watch.watching import WatchRecorder, WatchSession, watching, write

pytestmark = pytest.mark.skipif(not may_use_fanotify(), reason="fanotify needs CAP_SYS_ADMIN")


@pytest.fixture
def program(tmp_path: Path) -> DaemonProgram:
    home = tmp_path / "home"
    home.mkdir()
    return DaemonProgram(home)


@pytest.fixture
def root(tmp_path: Path, program: DaemonProgram) -> Path:
    path = tmp_path.resolve() / "root"
    path.mkdir()
    text = program.configuration.read_text()
    text = text.replace('canary_interval = "1s"', 'canary_interval = "60s"')
    program.configuration.write_text(f'{text}watch_method = "fanotify"\n')
    program.watch("root", path)
    return path


@pytest.fixture
def watcher(program: DaemonProgram, root: Path, socket_path: Path) -> Iterator[ManagedService]:
    """Run the watcher as a service; its socket is where the scanner expects it."""
    assert root.is_dir()
    program.runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(socket_path))
        (program.runtime / "watcher.sock").symlink_to(socket_path)
        listening.listen()
        with ManagedService(
            socket_path.parent,
            [PROGRAM, "daemon", "watcher"],
            program.environment,
            {"watcher": listening},
        ) as service:
            yield service


@contextmanager
def writing(root: Path) -> Iterator[list[Path]]:
    """Write files without a pause until the context ends; the list is complete then."""
    paths: list[Path] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.01):
            paths.append(root / f"{len(paths):06}.txt")
            write(paths[-1])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield paths
    finally:
        stop.set()
        thread.join()


def test_a_restarted_watcher_announces_every_file_once(
    watcher: ManagedService, root: Path, socket_path: Path
) -> None:
    with watching(FanotifyWatch(socket_path), [root]) as session:
        with writing(root) as paths:
            for _ in range(3):
                watcher.restart()
                session.maintain_until(lambda: session.recorder.covers(paths[-1]))
        session.wait_until_caught_up()
        closed = Counter(
            announcement.path
            for announcement in session.recorder.announcements
            if announcement.change is Change.CLOSED
        )
        assert {path: closed[bytes(path)] for path in paths} == dict.fromkeys(paths, 1)
        assert not session.recorder.gaps
        assert not watcher.stored, "what was stored is valid once"


def test_a_scanner_continues_after_what_it_acknowledged(
    watcher: ManagedService, root: Path, socket_path: Path
) -> None:
    with watching(FanotifyWatch(socket_path), [root]) as session:
        write(root / "recorded")
        session.wait_until_announced(root / "recorded")
        session.wait_until(lambda: session.recorder.position is not None)
        recorded = session.recorder.position
        assert recorded is not None
        session.watch.acknowledge(recorded)
        write(root / "received")
        session.wait_until_announced(root / "received")
    write(root / "meanwhile")
    watcher.restart()
    write(root / "later")
    watch, recorder = FanotifyWatch(socket_path), WatchRecorder()
    roots = [Root("root", bytes(root)), Root("new", bytes(root.parent))]
    assert watch.start(roots, recorder, recorded) == {"root"}
    again = WatchSession(watch, recorder, root)
    again.wait_until_announced(root / "received", root / "meanwhile", root / "later")
    assert not recorder.covers(root / "recorded")
    assert not recorder.gaps
    watch.close()


def test_an_acknowledged_position_cannot_be_continued(
    watcher: ManagedService, root: Path, socket_path: Path
) -> None:
    """So it is after a backup of the storage was restored."""
    assert watcher.process.poll() is None
    with watching(FanotifyWatch(socket_path), [root]) as session:
        positions = []
        for name in ("one", "two"):
            write(root / name)
            session.wait_until_announced(root / name)
            session.wait_until_caught_up()
            session.wait_until(lambda: session.recorder.position is not None)
            positions.append(session.recorder.position)
        assert positions[1] is not None
        session.watch.acknowledge(positions[1])
    watch = FanotifyWatch(socket_path)
    assert watch.start([Root("root", bytes(root))], WatchRecorder(), positions[0]) == set()
    watch.close()


def test_a_root_replaced_during_the_restart_is_a_gap(
    watcher: ManagedService, root: Path, socket_path: Path
) -> None:
    with watching(FanotifyWatch(socket_path), [root]) as session:
        session.wait_until_caught_up()
        watcher.stop()
        root.rename(root.parent / "former")
        root.mkdir()
        watcher.start()
        session.maintain_until(lambda: session.recorder.causes() == {Cause.REPLACED})
        session.wait_until_caught_up()


def test_a_killed_watcher_stores_nothing_and_is_a_gap(
    watcher: ManagedService, root: Path, socket_path: Path
) -> None:
    with watching(FanotifyWatch(socket_path), [root]) as session:
        session.wait_until_caught_up()
        watcher.stop(signal.SIGKILL)
        session.wait_until(lambda: session.recorder.causes() == {Cause.DEAD_WATCH})
        assert not watcher.stored


def test_restarted_scanners_miss_nothing_without_a_gap(
    watcher: ManagedService, program: DaemonProgram, root: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "scanner"
    directory.mkdir()
    command = (PROGRAM, "daemon", "scanner")
    with ManagedService(directory, command, program.environment, {}) as scanner:
        with program.state() as store:
            program.wait_for(lambda: not store.gaps.load_open(), "covering the start")
        with writing(root) as paths:
            scanner.stop()
            watcher.restart()
            scanner.start()
            watcher.restart()
            scanner.stop(signal.SIGKILL)
            scanner.start()
        names = {path.name.encode() for path in paths}

        def stored() -> set[bytes]:
            with program.state() as store:
                return set(store.files.load_directory(bytes(root)))

        program.wait_for(lambda: names <= stored(), "recording every file")
        with program.state() as store:
            gaps = store.gaps.load_latest(100)
            assert {gap.cause for gap in gaps} == {Cause.STARTED}, gaps

"""The canary proves that a root is watched, and cannot be turned into anything else."""

import logging
import os
from pathlib import Path

import pytest

from hashwacht.core.watch_events import Announcement, Cause, Change, Root
from hashwacht.watch.canary import NAME, Canary
from hashwacht.watch.inotify import InotifyWatch
from support.clock import Clock
from support.watch.watching import OwnMounts, watching, write

PATIENCE = 60.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "root"
    path.mkdir()
    return path


def canary(clock: Clock, *roots: Path) -> Canary:
    return Canary([Root(path.name, bytes(path)) for path in roots], PATIENCE, clock)


def announced(root: Path) -> Announcement:
    return Announcement("root", bytes(root) + b"/" + NAME, change=Change.CLOSED)


def test_a_watched_root_announces_it_and_nothing_stays_behind(root: Path) -> None:
    clock = Clock()
    birds = canary(clock, root)
    with watching(InotifyWatch(), [root]) as session:
        for _ in range(3):
            session.recorder.clear()
            assert birds.write_all() == []
            session.wait_until(lambda: bool(session.recorder.announcements))
            assert {
                birds.is_canary(announcement) for announcement in session.recorder.announcements
            } == {True}
            clock.now += PATIENCE - 1
            assert birds.overdue() == []
    assert list(root.iterdir()) == []


def test_an_unannounced_canary_is_a_gap_as_long_as_that_lasts(root: Path) -> None:
    clock, path = Clock(), root.parent / "other"
    path.mkdir()
    birds = canary(clock, root, path)
    for _ in range(2):
        birds.write_all()
        birds.is_canary(announced(root))
        clock.now += PATIENCE / 2
        birds.write_all()
        assert birds.overdue() == []
        birds.is_canary(announced(root))
        clock.now += PATIENCE / 2 + 1
        assert [(missed.root, missed.cause) for missed in birds.overdue()] == [
            ("other", Cause.DEAD_WATCH)
        ]
    assert birds.overdue() == []
    birds.is_canary(announced(path))
    clock.now += 10 * PATIENCE
    assert birds.overdue() == []


def test_other_files_are_no_canaries(root: Path) -> None:
    birds = canary(Clock(), root)
    birds.write_all()
    assert not birds.is_canary(Announcement("root", bytes(root / "a")))
    assert not birds.is_canary(Announcement("root", bytes(root / "a") + b"/" + NAME))


def test_a_foreign_file_of_that_name_is_kept_and_announced(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    birds, path = canary(Clock(), root), root / NAME.decode()
    write(path, b"a picture")
    for _ in range(3):
        assert birds.write_all() == []
    assert path.read_bytes() == b"a picture"
    assert not birds.is_canary(announced(root))
    assert len(caplog.records) == 1
    assert "File exists" in birds.unwritable["root"]
    path.unlink()
    birds.write_all()
    assert birds.unwritable == {}


@pytest.mark.parametrize("what", ["link", "hard link", "pipe", "directory"])
def test_the_canary_never_follows_or_overwrites_an_entry(root: Path, what: str) -> None:
    victim, path = root.parent / "victim", root / NAME.decode()
    write(victim, b"kept")
    if what == "link":
        path.symlink_to(victim)
    elif what == "hard link":
        path.hardlink_to(victim)
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    birds = canary(Clock(), root)
    birds.write_all()
    assert birds.unwritable
    assert victim.read_bytes() == b"kept"
    assert os.path.lexists(path)


def test_what_was_left_behind_by_a_kill_is_cleared_away(root: Path) -> None:
    (root / NAME.decode()).touch()
    birds = canary(Clock(), root)
    birds.write_all()
    assert not birds.unwritable
    assert list(root.iterdir()) == []


def test_a_root_that_is_not_there_is_said_to_be(root: Path) -> None:
    birds = canary(Clock(), root)
    root.rmdir()
    assert [missed.cause for missed in birds.write_all()] == [Cause.UNMOUNTED]
    assert not birds.unwritable


def test_a_root_behind_a_link_gets_none(root: Path) -> None:
    path = root.parent / "other"
    path.mkdir()
    root.rmdir()
    root.symlink_to(path)
    canary(Clock(), root).write_all()
    assert list(path.iterdir()) == []


def test_a_read_only_root_is_said_once_to_be_without_proof(
    root: Path, mounts: OwnMounts, caplog: pytest.LogCaptureFixture
) -> None:
    mounts.memory(root)
    mounts.read_only(root)
    clock = Clock()
    birds = canary(clock, root)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert birds.write_all() == []
            clock.now += 2 * PATIENCE
            assert birds.overdue() == []
    assert len(caplog.records) == 1
    assert "Read-only" in birds.unwritable["root"]

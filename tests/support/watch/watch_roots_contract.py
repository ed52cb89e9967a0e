"""The contract of every Watch for its roots: several, missing, replaced, mounted over.

Subclass it like :class:`~support.watch.watch_contract.WatchContract`; the methods that mount
file systems need a fixture ``mounts``, which yields OwnMounts or skips.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from hashwacht.core.watch_events import Cause, Root
from support.watch.watch_contract import WatchCase
from support.watch.watching import OwnMounts, WatchSession, watching, write

OTHER = {Cause.REPLACED, Cause.UNMOUNTED}


def is_watched(session: WatchSession) -> None:
    """Check that the root is watched, including a new directory in it.

    A file written before a gap was reported is covered by the gap, so it is written once more.
    """
    (session.top / "still").mkdir(exist_ok=True)
    count = -1

    def watched() -> bool:
        nonlocal count
        if len(session.recorder.gaps) > count:
            count = len(session.recorder.gaps)
            write(session.top / "still/watched")
        return session.recorder.covers(session.top / "still/watched")

    session.maintain_until(watched)
    session.recorder.clear()
    write(session.top / "still/watched as well")
    session.maintain_until(lambda: session.recorder.covers(session.top / "still/watched as well"))


class WatchRootsContract:
    """Subclass, name it ``Test...`` and give fixtures ``case`` and ``mounts``."""

    def test_every_root_is_distinguished(self, case: WatchCase) -> None:
        """That includes a root whose name is a prefix of another's."""
        with case.watching("root2") as session:
            write(case.directory / "root/a")
            write(case.directory / "root2/b")
            session.wait_until_announced(case.directory / "root/a", case.directory / "root2/b")
            announced = {
                (announcement.root, announcement.path[-2:])
                for announcement in session.recorder.announcements
            }
            assert announced == {("root", b"/a"), ("root2", b"/b")}

    def test_roots_are_exchanged_while_kept_ones_stay_watched(self, case: WatchCase) -> None:
        """Events in the kept roots that were still queued are not lost."""
        with case.watching("goes") as session:
            goes, comes = case.directory / "goes", case.directory / "comes"
            comes.mkdir()
            early = [session.top / f"{number}" for number in range(300)]
            for path in early:
                write(path)
            session.watch.start(
                [Root("root", bytes(session.top)), Root("comes", bytes(comes))], session.recorder
            )
            session.wait_until_announced(*early)
            session.recorder.clear()
            for path in (goes / "late", comes / "late", session.top / "late"):
                write(path)
            session.wait_until_announced(comes / "late", session.top / "late")
            session.watch.maintain()
            assert {announcement.root for announcement in session.recorder.announcements} == {
                "root",
                "comes",
            }
            assert not session.recorder.gaps

    def test_a_root_that_is_not_there_is_a_gap_until_it_comes(self, case: WatchCase) -> None:
        """A gap is reported when it is missing and when it appears."""
        with watching(case.make(), [case.directory / "later" / "root"]) as session:
            session.wait_until(lambda: session.recorder.causes() == {Cause.UNMOUNTED})
            session.recorder.clear()
            session.watch.maintain()
            session.top.mkdir(parents=True)
            session.maintain_until(lambda: session.recorder.causes() == {Cause.UNMOUNTED})
            is_watched(session)

    def test_a_recreated_root_is_watched_again(self, case: WatchCase) -> None:
        """The file system may reuse the inode number for the new directory."""
        with case.watching() as session:
            (session.top / "d").mkdir()
            session.wait_until_caught_up()
            shutil.rmtree(session.top)
            session.top.mkdir()
            (session.top / "d").mkdir()
            write(session.top / "d/at once")
            path = session.top / "d/at once"
            session.maintain_until(
                lambda: session.recorder.covers(path) or bool(session.recorder.causes() & OTHER)
            )
            is_watched(session)

    def test_a_root_that_is_gone_for_a_while_is_a_gap(self, case: WatchCase) -> None:
        """It is watched again afterwards."""
        with case.watching() as session:
            shutil.rmtree(session.top)
            session.maintain_until(lambda: Cause.UNMOUNTED in session.recorder.causes())
            session.recorder.clear()
            session.top.mkdir()
            session.maintain_until(lambda: Cause.UNMOUNTED in session.recorder.causes())
            is_watched(session)

    def test_a_root_that_another_directory_replaces_is_a_gap(self, case: WatchCase) -> None:
        """The contents of the replacement were never announced."""
        with case.watching() as session:
            (case.outside / "new").mkdir()
            write(case.outside / "new/unseen")
            session.top.rename(case.outside / "old")
            (case.outside / "new").rename(session.top)
            session.maintain_until(lambda: Cause.REPLACED in session.recorder.causes())
            is_watched(session)
            write(case.outside / "old/x")
            session.wait_until_caught_up()
            assert not session.recorder.announced_at(session.top / "x")

    def test_a_root_that_was_away_between_two_looks_is_a_gap(self, case: WatchCase) -> None:
        """Files that arrived meanwhile had another path."""
        with case.watching() as session:
            session.top.rename(case.outside / "away")
            write(case.outside / "away/unseen")
            (case.outside / "away").rename(session.top)
            session.maintain_until(lambda: bool(session.recorder.causes()))
            is_watched(session)

    def test_a_root_behind_a_link_is_not_watched(self, case: WatchCase) -> None:
        """The owner of the link would control what is watched."""
        with case.watching() as session:
            session.top.rename(case.outside / "away")
            session.top.symlink_to(case.outside)
            session.maintain_until(lambda: Cause.UNMOUNTED in session.recorder.causes())

    def test_renewing_a_root_is_a_gap(self, case: WatchCase) -> None:
        """It is watched afterwards; the others are watched throughout."""
        with case.watching("other") as session:
            session.watch.renew("root")
            session.wait_until(lambda: Cause.DEAD_WATCH in session.recorder.causes())
            assert not session.recorder.causes("other")
            is_watched(session)

    def test_a_mount_over_a_root_is_a_gap_and_watched(
        self, case: WatchCase, mounts: OwnMounts
    ) -> None:
        """The covered directory is watched too once the mount is removed."""
        with case.watching() as session:
            mounts.memory(session.top)
            write(session.top / "unseen")
            session.maintain_until(lambda: bool(session.recorder.causes() & OTHER))
            is_watched(session)
            session.recorder.clear()
            mounts.unmount(session.top)
            session.maintain_until(lambda: bool(session.recorder.causes() & OTHER))
            is_watched(session)

    def test_a_root_that_was_unmounted_between_two_looks_is_a_gap(
        self, case: WatchCase, mounts: OwnMounts
    ) -> None:
        """The same file system in the same place has lost its watches."""
        root = case.directory / "root"
        root.mkdir()
        mounts.disk(case.directory / "image", root)
        with case.watching() as session:
            mounts.unmount(root)
            mounts.disk(case.directory / "image", root)
            write(root / "unseen")
            session.maintain_until(lambda: bool(session.recorder.causes() & OTHER))
            is_watched(session)

    def test_a_mount_below_a_root_is_watched(self, case: WatchCase, mounts: OwnMounts) -> None:
        """It may exist before, appear later, or vanish and uncover a directory."""
        early, late = case.directory / "root/early", case.directory / "root/a/late"
        early.mkdir(parents=True)
        late.mkdir(parents=True)
        mounts.memory(early)
        with case.watching() as session:
            write(early / "a")
            session.wait_until_announced(early / "a")
            mounts.memory(late)
            (late / "d").mkdir()
            write(late / "d/unseen")
            path = late / "d/unseen"
            session.maintain_until(
                lambda: (
                    session.recorder.covers(path)
                    or any(missed.path == bytes(late) for missed in session.recorder.gaps)
                )
            )
            session.recorder.clear()
            write(late / "d/seen")
            session.wait_until_announced(late / "d/seen")
            mounts.unmount(late)
            write(late / "below")
            session.maintain_until(
                lambda: (
                    session.recorder.covers(late / "below")
                    or any(missed.path == bytes(late) for missed in session.recorder.gaps)
                )
            )

    def test_a_root_that_is_mounted_into_itself_is_watched_once(
        self, case: WatchCase, mounts: OwnMounts
    ) -> None:
        """A walk that followed the mount would never end."""
        inner = case.directory / "root/a/b"
        inner.mkdir(parents=True)
        mounts.bind(case.directory / "root", inner)
        with case.watching() as session:
            is_watched(session)

    def test_subvolumes_and_snapshots_that_appear_are_watched(
        self, case: WatchCase, mounts: OwnMounts
    ) -> None:
        """An owner makes a snapshot with one system call, full of files, without root's help."""
        disk = case.directory / "disk"
        disk.mkdir()
        mounts.disk(case.directory / "image", disk, "btrfs")
        inner = WatchCase(case.make, disk)
        subvolume(disk / "source")
        (disk / "source/a/b").mkdir(parents=True)
        write(disk / "source/a/b/deep")
        with inner.watching() as session:
            subvolume(session.top / "new")
            write(session.top / "new/file")
            session.maintain_until(lambda: session.recorder.covers(session.top / "new/file"))
            subvolume(session.top / "copy", snapshot_of=disk / "source")
            session.maintain_until(lambda: session.recorder.covers(session.top / "copy/a/b/deep"))
            session.recorder.clear()
            with (session.top / "copy/a/b/deep").open("r+b", buffering=0) as file:
                file.write(b"y")
                session.maintain_until(
                    lambda: session.recorder.covers(session.top / "copy/a/b/deep")
                )
            clone(session.top / "clone", disk / "source/a/b/deep")
            session.maintain_until(lambda: session.recorder.covers(session.top / "clone"))
            assert session.recorder.causes() == set()
        mounts.unmount(disk)


def subvolume(path: Path, snapshot_of: Path | None = None) -> None:
    """Create a subvolume, or a snapshot of another one."""
    source = [] if snapshot_of is None else [str(snapshot_of)]
    action = "snapshot" if source else "create"
    subprocess.run(["btrfs", "-q", "subvolume", action, *source, str(path)], check=True, timeout=30)


def clone(path: Path, source: Path) -> None:
    """Create a file that shares the bytes of another one (FICLONE)."""
    with path.open("wb") as file, source.open("rb") as original:
        fcntl.ioctl(file.fileno(), 0x4004_9409, original.fileno())

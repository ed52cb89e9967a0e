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
from support.watch.watching import OwnMounts, Watching, watching, write

OTHER = {Cause.REPLACED, Cause.UNMOUNTED}


def is_watched(here: Watching) -> None:
    """Check that the root is watched, including a new directory in it.

    A file written before a gap was reported is covered by the gap, so it is written once more.
    """
    (here.top / "still").mkdir(exist_ok=True)
    count = -1

    def watched() -> bool:
        nonlocal count
        if len(here.ear.gaps) > count:
            count = len(here.ear.gaps)
            write(here.top / "still/watched")
        return here.ear.covers(here.top / "still/watched")

    here.tend_until(watched)
    here.ear.forget()
    write(here.top / "still/watched as well")
    here.tend_until(lambda: here.ear.covers(here.top / "still/watched as well"))


class WatchRootsContract:
    """Subclass, name it ``Test...`` and give fixtures ``case`` and ``mounts``."""

    def test_every_root_is_distinguished(self, case: WatchCase) -> None:
        """That includes a root whose name is a prefix of another's."""
        with case.watching("root2") as here:
            write(case.directory / "root/a")
            write(case.directory / "root2/b")
            here.covered(case.directory / "root/a", case.directory / "root2/b")
            announced = {
                (announcement.root, announcement.path[-2:]) for announcement in here.ear.heard
            }
            assert announced == {("root", b"/a"), ("root2", b"/b")}

    def test_roots_are_exchanged_while_kept_ones_stay_watched(self, case: WatchCase) -> None:
        """Events in the kept roots that were still queued are not lost."""
        with case.watching("goes") as here:
            goes, comes = case.directory / "goes", case.directory / "comes"
            comes.mkdir()
            early = [here.top / f"{number}" for number in range(300)]
            for path in early:
                write(path)
            here.watch.start([Root("root", bytes(here.top)), Root("comes", bytes(comes))], here.ear)
            here.covered(*early)
            here.ear.forget()
            for path in (goes / "late", comes / "late", here.top / "late"):
                write(path)
            here.covered(comes / "late", here.top / "late")
            here.watch.maintain()
            assert {announcement.root for announcement in here.ear.heard} == {"root", "comes"}
            assert not here.ear.gaps

    def test_a_root_that_is_not_there_is_a_gap_until_it_comes(self, case: WatchCase) -> None:
        """A gap is reported when it is missing and when it appears."""
        with watching(case.make(), [case.directory / "later" / "root"]) as here:
            here.until(lambda: here.ear.causes() == {Cause.UNMOUNTED})
            here.ear.forget()
            here.watch.maintain()
            here.top.mkdir(parents=True)
            here.tend_until(lambda: here.ear.causes() == {Cause.UNMOUNTED})
            is_watched(here)

    def test_a_recreated_root_is_watched_again(self, case: WatchCase) -> None:
        """The file system may reuse the inode number for the new directory."""
        with case.watching() as here:
            (here.top / "d").mkdir()
            here.caught_up()
            shutil.rmtree(here.top)
            here.top.mkdir()
            (here.top / "d").mkdir()
            write(here.top / "d/at once")
            path = here.top / "d/at once"
            here.tend_until(lambda: here.ear.covers(path) or bool(here.ear.causes() & OTHER))
            is_watched(here)

    def test_a_root_that_is_gone_for_a_while_is_a_gap(self, case: WatchCase) -> None:
        """It is watched again afterwards."""
        with case.watching() as here:
            shutil.rmtree(here.top)
            here.tend_until(lambda: Cause.UNMOUNTED in here.ear.causes())
            here.ear.forget()
            here.top.mkdir()
            here.tend_until(lambda: Cause.UNMOUNTED in here.ear.causes())
            is_watched(here)

    def test_a_root_that_another_directory_replaces_is_a_gap(self, case: WatchCase) -> None:
        """The contents of the replacement were never announced."""
        with case.watching() as here:
            (case.outside / "new").mkdir()
            write(case.outside / "new/unseen")
            here.top.rename(case.outside / "old")
            (case.outside / "new").rename(here.top)
            here.tend_until(lambda: Cause.REPLACED in here.ear.causes())
            is_watched(here)
            write(case.outside / "old/x")
            here.caught_up()
            assert not here.ear.named(here.top / "x")

    def test_a_root_that_was_away_between_two_looks_is_a_gap(self, case: WatchCase) -> None:
        """Files that arrived meanwhile had another path."""
        with case.watching() as here:
            here.top.rename(case.outside / "away")
            write(case.outside / "away/unseen")
            (case.outside / "away").rename(here.top)
            here.tend_until(lambda: bool(here.ear.causes()))
            is_watched(here)

    def test_a_root_behind_a_link_is_not_watched(self, case: WatchCase) -> None:
        """The owner of the link would control what is watched."""
        with case.watching() as here:
            here.top.rename(case.outside / "away")
            here.top.symlink_to(case.outside)
            here.tend_until(lambda: Cause.UNMOUNTED in here.ear.causes())

    def test_renewing_a_root_is_a_gap(self, case: WatchCase) -> None:
        """It is watched afterwards; the others are watched throughout."""
        with case.watching("other") as here:
            here.watch.renew("root")
            here.until(lambda: Cause.DEAD_WATCH in here.ear.causes())
            assert not here.ear.causes("other")
            is_watched(here)

    def test_a_mount_over_a_root_is_a_gap_and_watched(
        self, case: WatchCase, mounts: OwnMounts
    ) -> None:
        """The covered directory is watched too once the mount is removed."""
        with case.watching() as here:
            mounts.memory(here.top)
            write(here.top / "unseen")
            here.tend_until(lambda: bool(here.ear.causes() & OTHER))
            is_watched(here)
            here.ear.forget()
            mounts.unmount(here.top)
            here.tend_until(lambda: bool(here.ear.causes() & OTHER))
            is_watched(here)

    def test_a_root_that_was_unmounted_between_two_looks_is_a_gap(
        self, case: WatchCase, mounts: OwnMounts
    ) -> None:
        """The same file system in the same place has lost its watches."""
        root = case.directory / "root"
        root.mkdir()
        mounts.disk(case.directory / "image", root)
        with case.watching() as here:
            mounts.unmount(root)
            mounts.disk(case.directory / "image", root)
            write(root / "unseen")
            here.tend_until(lambda: bool(here.ear.causes() & OTHER))
            is_watched(here)

    def test_a_mount_below_a_root_is_watched(self, case: WatchCase, mounts: OwnMounts) -> None:
        """It may exist before, appear later, or vanish and uncover a directory."""
        early, late = case.directory / "root/early", case.directory / "root/a/late"
        early.mkdir(parents=True)
        late.mkdir(parents=True)
        mounts.memory(early)
        with case.watching() as here:
            write(early / "a")
            here.covered(early / "a")
            mounts.memory(late)
            (late / "d").mkdir()
            write(late / "d/unseen")
            path = late / "d/unseen"
            here.tend_until(
                lambda: (
                    here.ear.covers(path)
                    or any(missed.path == bytes(late) for missed in here.ear.gaps)
                )
            )
            here.ear.forget()
            write(late / "d/seen")
            here.covered(late / "d/seen")
            mounts.unmount(late)
            write(late / "below")
            here.tend_until(
                lambda: (
                    here.ear.covers(late / "below")
                    or any(missed.path == bytes(late) for missed in here.ear.gaps)
                )
            )

    def test_a_root_that_is_mounted_into_itself_is_watched_once(
        self, case: WatchCase, mounts: OwnMounts
    ) -> None:
        """A walk that followed the mount would never end."""
        inner = case.directory / "root/a/b"
        inner.mkdir(parents=True)
        mounts.bind(case.directory / "root", inner)
        with case.watching() as here:
            is_watched(here)

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
        with inner.watching() as here:
            subvolume(here.top / "new")
            write(here.top / "new/file")
            here.tend_until(lambda: here.ear.covers(here.top / "new/file"))
            subvolume(here.top / "copy", snapshot_of=disk / "source")
            here.tend_until(lambda: here.ear.covers(here.top / "copy/a/b/deep"))
            here.ear.forget()
            with (here.top / "copy/a/b/deep").open("r+b", buffering=0) as file:
                file.write(b"y")
                here.tend_until(lambda: here.ear.covers(here.top / "copy/a/b/deep"))
            clone(here.top / "clone", disk / "source/a/b/deep")
            here.tend_until(lambda: here.ear.covers(here.top / "clone"))
            assert here.ear.causes() == set()
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

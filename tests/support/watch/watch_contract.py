"""The contract of every Watch for files and directories: a suite to subclass.

::

    class TestMyWatch(WatchContract):
        @pytest.fixture
        def case(self, tmp_path) -> WatchCase:
            return WatchCase(MyWatch, tmp_path)

:mod:`support.watch.watch_roots_contract` covers roots that appear, vanish and are mounted.  Nothing
session imports pytest: the methods request the fixture ``case`` by its name.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hashwacht.core.watch_events import Cause, Change, Watch
from support.deep import NAME, deepened
from support.watch.watching import WatchSession, watching, write

KEEP_SIZE, PUNCH_HOLE = 1, 2
"""Flags of fallocate(2)."""


def change_allocation(fd: int, mode: int, offset: int, length: int) -> bool:
    """Allocate or free space as fallocate(2) does; return whether that succeeded."""
    sizes = ctypes.c_long(offset), ctypes.c_long(length)
    return bool(ctypes.CDLL(None).fallocate(fd, mode, *sizes) == 0)


@dataclass(frozen=True, slots=True)
class WatchCase:
    """A factory of the Watch, and an empty directory on an ordinary file system."""

    make: Callable[[], Watch]
    directory: Path

    @property
    def outside(self) -> Path:
        """A sibling directory of the root."""
        return self.directory / "outside"

    @contextmanager
    def watching(self, *names: str) -> Iterator[WatchSession]:
        """Watch roots in the directory, the first one called "root"; they are created."""
        places = [self.directory / name for name in ("root", *names)]
        for path in places:
            path.mkdir(parents=True, exist_ok=True)
        self.outside.mkdir(parents=True, exist_ok=True)
        with watching(self.make(), places) as session:
            yield session


class WatchContract:
    """Subclass, name it ``Test...`` and give a fixture ``case``."""

    def test_a_written_and_closed_file_is_announced_as_closed(self, case: WatchCase) -> None:
        """No gap is reported."""
        with case.watching() as session:
            write(session.top / "a")
            session.wait_until(
                lambda: any(
                    announcement.closed
                    for announcement in session.recorder.announced_at(session.top / "a")
                )
            )
            assert {announcement.root for announcement in session.recorder.announcements} == {
                "root"
            }
            assert not session.recorder.gaps

    def test_a_file_that_is_still_written_is_announced_as_open(self, case: WatchCase) -> None:
        """It may never be closed, so the daemon must not wait for that."""
        with case.watching() as session, (session.top / "a").open("wb") as file:
            session.wait_until_announced(session.top / "a")
            assert not any(announcement.closed for announcement in session.recorder.announcements)
            file.close()
            session.wait_until(
                lambda: any(announcement.closed for announcement in session.recorder.announcements)
            )

    def test_a_file_that_is_written_to_again_is_announced_again(self, case: WatchCase) -> None:
        """A verdict covers the bytes that were read; new bytes need another one."""
        (case.directory / "root").mkdir(parents=True)
        write(case.directory / "root/a")
        with case.watching() as session:
            with (session.top / "a").open("ab") as file:
                file.write(b"more")
            session.wait_until_announced(session.top / "a")

    def test_every_write_without_a_close_is_announced(self, case: WatchCase) -> None:
        """By write(2), truncation, allocation and splice, in a file that was there before."""
        (case.directory / "root").mkdir(parents=True)
        names = ("written", "truncated", "punched", "spliced")
        for name in names:
            write(case.directory / "root" / name, b"x" * 8192)
        with case.watching() as session, ExitStack() as open_files:
            files = {
                name: open_files.enter_context((session.top / name).open("r+b", buffering=0))
                for name in names
            }
            files["written"].write(b"y")
            files["truncated"].truncate(4)
            assert change_allocation(files["punched"].fileno(), PUNCH_HOLE | KEEP_SIZE, 0, 4096)
            os.sendfile(files["spliced"].fileno(), files["written"].fileno(), 0, 100)
            for name in names:
                session.wait_until_announced(session.top / name)
                assert session.recorder.changes(session.top / name) == {Change.WRITTEN}

    def test_many_writes_are_few_announcements(self, case: WatchCase) -> None:
        """A program that writes all the time must not keep the daemon busy."""
        with case.watching() as session, (session.top / "log").open("wb", buffering=0) as file:
            with (session.top / "other").open("wb", buffering=0) as other:
                for _ in range(2000):
                    file.write(b"x")
                    other.write(b"x")
            session.wait_until_caught_up()
            assert len(session.recorder.announced_at(session.top / "log")) < 50

    def test_changed_attributes_are_announced_as_such(self, case: WatchCase) -> None:
        """Mode, owner, times and extended attributes; those of a directory mean nothing session."""
        (case.directory / "root/d").mkdir(parents=True)
        names = ("mode", "owner", "times", "xattr")
        for name in names:
            write(case.directory / "root" / name)
        with case.watching() as session:
            (session.top / "mode").chmod(0o600)
            os.chown(session.top / "owner", os.getuid(), os.getgid())
            os.utime(session.top / "times")
            os.setxattr(session.top / "xattr", "user.a", b"b")
            (session.top / "d").chmod(0o700)
            for name in names:
                session.wait_until_announced(session.top / name)
                assert session.recorder.changes(session.top / name) == {Change.ATTRIBUTES}
            session.wait_until_caught_up()
            assert not session.recorder.announced_at(session.top / "d")

    def test_a_file_that_gets_its_name_in_another_way_is_announced(self, case: WatchCase) -> None:
        """It is moved in, linked in, or created without a name and linked."""
        with case.watching() as session:
            for name in ("moved", "linked"):
                write(case.outside / name)
            (case.outside / "moved").rename(session.top / "moved")
            (session.top / "linked").hardlink_to(case.outside / "linked")
            fd = os.open(session.top, os.O_TMPFILE | os.O_WRONLY)
            path = session.top / "unnamed"
            os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd)  # with it, CPython calls linkat(2)
            os.close(fd)
            session.wait_until_announced(
                *(session.top / name for name in ("moved", "linked", "unnamed"))
            )

    def test_a_tree_that_is_moved_in_is_announced_as_a_tree(self, case: WatchCase) -> None:
        """Later files in its subdirectories are announced too."""
        with case.watching() as session:
            (case.outside / "t/a/b").mkdir(parents=True)
            write(case.outside / "t/a/b/old")
            (case.outside / "t").rename(session.top / "t")
            session.wait_until(
                lambda: any(
                    announcement.tree
                    for announcement in session.recorder.announced_at(session.top / "t")
                )
            )
            session.recorder.clear()
            write(session.top / "t/a/b/new")
            session.wait_until_announced(session.top / "t/a/b/new")

    def test_files_in_directories_that_were_just_made_are_announced(self, case: WatchCase) -> None:
        """The delay does not matter: most first uploads go into new directories."""
        with case.watching() as session:
            paths = []
            for number in range(150):
                directory = session.top / f"{number}/a/b/c"
                directory.mkdir(parents=True)
                for name in ("x", "y"):
                    write(directory / name)
                    paths.append(directory / name)
            session.wait_until_announced(*paths)
            assert session.recorder.gaps == []

    def test_a_directory_that_is_renamed_is_announced_as_a_tree(self, case: WatchCase) -> None:
        """Later files in it, at any depth, are announced under its new name only."""
        with case.watching() as session:
            (session.top / "before/a/b").mkdir(parents=True)
            session.wait_until_caught_up()
            (session.top / "before").rename(session.top / "after")
            session.wait_until(
                lambda: any(
                    announcement.tree
                    for announcement in session.recorder.announced_at(session.top / "after")
                )
            )
            session.recorder.clear()
            write(session.top / "after/a/b/new")
            session.wait_until_caught_up()
            assert session.recorder.announced_at(session.top / "after/a/b/new")
            assert not session.recorder.covers(session.top / "before/a/b/new")

    def test_directories_that_are_renamed_all_the_time_lose_no_file(self, case: WatchCase) -> None:
        """Every file is announced under its final name."""
        with case.watching() as session:
            at = session.top / "0"
            at.mkdir(parents=True)
            for number in range(1, 100):
                (at / f"{number}").mkdir()
                write(at / f"{number}/x")
                then = session.top / f"{number}"
                at.rename(then)
                at = then
            session.wait_until_announced(*(at / f"{number}/x" for number in range(1, 100)))
            session.maintain_until(lambda: True)
            session.recorder.clear()
            session.watch.maintain()
            write(at / "50/late")
            session.wait_until_announced(at / "50/late")

    def test_a_directory_that_was_moved_out_is_not_watched(self, case: WatchCase) -> None:
        """That holds even if another directory takes its name."""
        with case.watching() as session:
            (session.top / "d/e").mkdir(parents=True)
            session.wait_until_caught_up()
            (session.top / "d").rename(case.outside / "d")
            (session.top / "d").mkdir(parents=True)
            session.wait_until_caught_up()
            for _ in range(2):
                session.watch.maintain()
            session.recorder.clear()
            write(case.outside / "d/gone")
            write(session.top / "d/here")
            session.wait_until_caught_up()
            assert session.recorder.covers(session.top / "d/here")
            assert not session.recorder.announced_at(session.top / "d/gone")

    def test_a_directory_that_comes_back_is_watched(self, case: WatchCase) -> None:
        """It leaves the root and returns under another name, with new files."""
        with case.watching() as session:
            (session.top / "d/e").mkdir(parents=True)
            session.wait_until_caught_up()
            (session.top / "d").rename(case.outside / "d")
            (case.outside / "d/e/f").mkdir(parents=True)
            write(case.outside / "d/e/f/x")
            (case.outside / "d").rename(session.top / "again")
            session.wait_until_announced(session.top / "again/e/f/x")
            for _ in range(2):
                session.watch.maintain()
            session.recorder.clear()
            write(session.top / "again/e/f/y")
            session.wait_until_announced(session.top / "again/e/f/y")

    def test_names_are_bytes(self, case: WatchCase) -> None:
        """A name may contain any byte but slash and zero, up to the file system's limit."""
        names = ["\udcff\udcfe", "a\nb", "\x1b[2J", " ", "x (deleted)", "n" * 255]
        with case.watching() as session:
            for name in names:
                (session.top / f"d{name[:254]}").mkdir()
                write(session.top / f"d{name[:254]}" / name)
                write(session.top / name)
            session.wait_until_announced(*(session.top / name for name in names))
            session.wait_until_announced(*(session.top / f"d{name[:254]}" / name for name in names))

    def test_an_overlong_path_is_covered_by_a_tree_or_a_gap(self, case: WatchCase) -> None:
        """PATH_MAX is 4096; directories can be made below that depth."""
        with case.watching() as session:
            below = deepened(session.top, 25)
            os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=below))
            os.close(below)
            path = session.top.joinpath(*[NAME] * 25, "x")
            session.maintain_until(
                lambda: session.recorder.covers(path) or Cause.UNLISTED in session.recorder.causes()
            )

    def test_what_is_written_through_a_link_is_announced_where_it_is(self, case: WatchCase) -> None:
        """It is not announced under the link's name, nor at all if it is outside the root."""
        with case.watching() as session:
            (session.top / "real").mkdir()
            (session.top / "inner").symlink_to(session.top / "real")
            (session.top / "outer").symlink_to(case.outside)
            write(session.top / "inner/a")
            write(session.top / "outer/b")
            session.wait_until_caught_up()
            assert session.recorder.covers(session.top / "real/a")
            assert not session.recorder.announced_at(session.top / "inner/a")
            assert not session.recorder.announced_at(session.top / "outer/b")
            assert not session.recorder.announced_at(case.outside / "b")

    def test_writing_through_a_link_outside_the_root_is_unannounced(self, case: WatchCase) -> None:
        """The file has a name in the root too: only a walk notices the change."""
        with case.watching() as session:
            write(session.top / "a")
            (case.outside / "b").hardlink_to(session.top / "a")
            session.wait_until_caught_up()
            session.recorder.clear()
            write(case.outside / "b", b"other")
            session.wait_until_caught_up()
            assert not session.recorder.announced_at(session.top / "a")

    def test_reading_is_not_announced(self, case: WatchCase) -> None:
        """Otherwise the daemon would receive events for its own reads."""
        (case.directory / "root/d").mkdir(parents=True)
        write(case.directory / "root/d/a")
        with case.watching() as session:
            for _ in range(3):
                with tempfile.TemporaryFile() as copy, (session.top / "d/a").open("rb") as file:
                    copy.write(file.read())
                list((session.top / "d").iterdir())
            session.wait_until_caught_up()
            assert not session.recorder.announced_at(session.top / "d/a")

    def test_nothing_is_announced_after_closing(self, case: WatchCase) -> None:
        """Closing twice is allowed."""
        with case.watching() as session:
            session.wait_until_caught_up()
            session.watch.close()
            session.recorder.clear()
            write(session.top / "late")
            session.watch.close()
            assert not session.recorder.announcements
            assert not session.recorder.gaps

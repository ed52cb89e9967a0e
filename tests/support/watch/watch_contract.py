"""The contract of every Watch for files and directories: a suite to subclass.

::

    class TestMyWatch(WatchContract):
        @pytest.fixture
        def case(self, tmp_path) -> WatchCase:
            return WatchCase(MyWatch, tmp_path)

:mod:`support.watch.watch_roots_contract` covers roots that appear, vanish and are mounted.  Nothing
here imports pytest: the methods request the fixture ``case`` by its name.
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
from support.watch.watching import Watching, watching, write

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
    def watching(self, *names: str) -> Iterator[Watching]:
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
        with case.watching() as here:
            write(here.top / "a")
            here.until(
                lambda: any(announcement.closed for announcement in here.ear.named(here.top / "a"))
            )
            assert {announcement.root for announcement in here.ear.heard} == {"root"}
            assert not here.ear.gaps

    def test_a_file_that_is_still_written_is_announced_as_open(self, case: WatchCase) -> None:
        """It may never be closed, so the daemon must not wait for that."""
        with case.watching() as here, (here.top / "a").open("wb") as file:
            here.covered(here.top / "a")
            assert not any(announcement.closed for announcement in here.ear.heard)
            file.close()
            here.until(lambda: any(announcement.closed for announcement in here.ear.heard))

    def test_a_file_that_is_written_to_again_is_announced_again(self, case: WatchCase) -> None:
        """A verdict covers the bytes that were read; new bytes need another one."""
        (case.directory / "root").mkdir(parents=True)
        write(case.directory / "root/a")
        with case.watching() as here:
            with (here.top / "a").open("ab") as file:
                file.write(b"more")
            here.covered(here.top / "a")

    def test_every_write_without_a_close_is_announced(self, case: WatchCase) -> None:
        """By write(2), truncation, allocation and splice, in a file that was there before."""
        (case.directory / "root").mkdir(parents=True)
        names = ("written", "truncated", "punched", "spliced")
        for name in names:
            write(case.directory / "root" / name, b"x" * 8192)
        with case.watching() as here, ExitStack() as open_files:
            files = {
                name: open_files.enter_context((here.top / name).open("r+b", buffering=0))
                for name in names
            }
            files["written"].write(b"y")
            files["truncated"].truncate(4)
            assert change_allocation(files["punched"].fileno(), PUNCH_HOLE | KEEP_SIZE, 0, 4096)
            os.sendfile(files["spliced"].fileno(), files["written"].fileno(), 0, 100)
            for name in names:
                here.covered(here.top / name)
                assert here.ear.changes(here.top / name) == {Change.WRITTEN}

    def test_many_writes_are_few_announcements(self, case: WatchCase) -> None:
        """A program that writes all the time must not keep the daemon busy."""
        with case.watching() as here, (here.top / "log").open("wb", buffering=0) as file:
            with (here.top / "other").open("wb", buffering=0) as other:
                for _ in range(2000):
                    file.write(b"x")
                    other.write(b"x")
            here.caught_up()
            assert len(here.ear.named(here.top / "log")) < 50

    def test_changed_attributes_are_announced_as_such(self, case: WatchCase) -> None:
        """Mode, owner, times and extended attributes; those of a directory mean nothing here."""
        (case.directory / "root/d").mkdir(parents=True)
        names = ("mode", "owner", "times", "xattr")
        for name in names:
            write(case.directory / "root" / name)
        with case.watching() as here:
            (here.top / "mode").chmod(0o600)
            os.chown(here.top / "owner", os.getuid(), os.getgid())
            os.utime(here.top / "times")
            os.setxattr(here.top / "xattr", "user.a", b"b")
            (here.top / "d").chmod(0o700)
            for name in names:
                here.covered(here.top / name)
                assert here.ear.changes(here.top / name) == {Change.ATTRIBUTES}
            here.caught_up()
            assert not here.ear.named(here.top / "d")

    def test_a_file_that_gets_its_name_in_another_way_is_announced(self, case: WatchCase) -> None:
        """It is moved in, linked in, or created without a name and linked."""
        with case.watching() as here:
            for name in ("moved", "linked"):
                write(case.outside / name)
            (case.outside / "moved").rename(here.top / "moved")
            (here.top / "linked").hardlink_to(case.outside / "linked")
            fd = os.open(here.top, os.O_TMPFILE | os.O_WRONLY)
            path = here.top / "unnamed"
            os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd)  # with it, CPython calls linkat(2)
            os.close(fd)
            here.covered(*(here.top / name for name in ("moved", "linked", "unnamed")))

    def test_a_tree_that_is_moved_in_is_announced_as_a_tree(self, case: WatchCase) -> None:
        """Later files in its subdirectories are announced too."""
        with case.watching() as here:
            (case.outside / "t/a/b").mkdir(parents=True)
            write(case.outside / "t/a/b/old")
            (case.outside / "t").rename(here.top / "t")
            here.until(
                lambda: any(announcement.tree for announcement in here.ear.named(here.top / "t"))
            )
            here.ear.forget()
            write(here.top / "t/a/b/new")
            here.covered(here.top / "t/a/b/new")

    def test_files_in_directories_that_were_just_made_are_announced(self, case: WatchCase) -> None:
        """The delay does not matter: most first uploads go into new directories."""
        with case.watching() as here:
            paths = []
            for number in range(150):
                directory = here.top / f"{number}/a/b/c"
                directory.mkdir(parents=True)
                for name in ("x", "y"):
                    write(directory / name)
                    paths.append(directory / name)
            here.covered(*paths)
            assert here.ear.gaps == []

    def test_a_directory_that_is_renamed_is_announced_as_a_tree(self, case: WatchCase) -> None:
        """Later files in it, at any depth, are announced under its new name only."""
        with case.watching() as here:
            (here.top / "before/a/b").mkdir(parents=True)
            here.caught_up()
            (here.top / "before").rename(here.top / "after")
            here.until(
                lambda: any(
                    announcement.tree for announcement in here.ear.named(here.top / "after")
                )
            )
            here.ear.forget()
            write(here.top / "after/a/b/new")
            here.caught_up()
            assert here.ear.named(here.top / "after/a/b/new")
            assert not here.ear.covers(here.top / "before/a/b/new")

    def test_directories_that_are_renamed_all_the_time_lose_no_file(self, case: WatchCase) -> None:
        """Every file is announced under its final name."""
        with case.watching() as here:
            at = here.top / "0"
            at.mkdir(parents=True)
            for number in range(1, 100):
                (at / f"{number}").mkdir()
                write(at / f"{number}/x")
                then = here.top / f"{number}"
                at.rename(then)
                at = then
            here.covered(*(at / f"{number}/x" for number in range(1, 100)))
            here.tend_until(lambda: True)
            here.ear.forget()
            here.watch.maintain()
            write(at / "50/late")
            here.covered(at / "50/late")

    def test_a_directory_that_was_moved_out_is_not_watched(self, case: WatchCase) -> None:
        """That holds even if another directory takes its name."""
        with case.watching() as here:
            (here.top / "d/e").mkdir(parents=True)
            here.caught_up()
            (here.top / "d").rename(case.outside / "d")
            (here.top / "d").mkdir(parents=True)
            here.caught_up()
            for _ in range(2):
                here.watch.maintain()
            here.ear.forget()
            write(case.outside / "d/gone")
            write(here.top / "d/here")
            here.caught_up()
            assert here.ear.covers(here.top / "d/here")
            assert not here.ear.named(here.top / "d/gone")

    def test_a_directory_that_comes_back_is_watched(self, case: WatchCase) -> None:
        """It leaves the root and returns under another name, with new files."""
        with case.watching() as here:
            (here.top / "d/e").mkdir(parents=True)
            here.caught_up()
            (here.top / "d").rename(case.outside / "d")
            (case.outside / "d/e/f").mkdir(parents=True)
            write(case.outside / "d/e/f/x")
            (case.outside / "d").rename(here.top / "again")
            here.covered(here.top / "again/e/f/x")
            for _ in range(2):
                here.watch.maintain()
            here.ear.forget()
            write(here.top / "again/e/f/y")
            here.covered(here.top / "again/e/f/y")

    def test_names_are_bytes(self, case: WatchCase) -> None:
        """A name may contain any byte but slash and zero, up to the file system's limit."""
        names = ["\udcff\udcfe", "a\nb", "\x1b[2J", " ", "x (deleted)", "n" * 255]
        with case.watching() as here:
            for name in names:
                (here.top / f"d{name[:254]}").mkdir()
                write(here.top / f"d{name[:254]}" / name)
                write(here.top / name)
            here.covered(*(here.top / name for name in names))
            here.covered(*(here.top / f"d{name[:254]}" / name for name in names))

    def test_an_overlong_path_is_covered_by_a_tree_or_a_gap(self, case: WatchCase) -> None:
        """PATH_MAX is 4096; directories can be made below that depth."""
        with case.watching() as here:
            below = deepened(here.top, 25)
            os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=below))
            os.close(below)
            path = here.top.joinpath(*[NAME] * 25, "x")
            here.tend_until(lambda: here.ear.covers(path) or Cause.UNLISTED in here.ear.causes())

    def test_what_is_written_through_a_link_is_announced_where_it_is(self, case: WatchCase) -> None:
        """It is not announced under the link's name, nor at all if it is outside the root."""
        with case.watching() as here:
            (here.top / "real").mkdir()
            (here.top / "inner").symlink_to(here.top / "real")
            (here.top / "outer").symlink_to(case.outside)
            write(here.top / "inner/a")
            write(here.top / "outer/b")
            here.caught_up()
            assert here.ear.covers(here.top / "real/a")
            assert not here.ear.named(here.top / "inner/a")
            assert not here.ear.named(here.top / "outer/b")
            assert not here.ear.named(case.outside / "b")

    def test_writing_through_a_link_outside_the_root_is_unannounced(self, case: WatchCase) -> None:
        """The file has a name in the root too: only a walk notices the change."""
        with case.watching() as here:
            write(here.top / "a")
            (case.outside / "b").hardlink_to(here.top / "a")
            here.caught_up()
            here.ear.forget()
            write(case.outside / "b", b"other")
            here.caught_up()
            assert not here.ear.named(here.top / "a")

    def test_reading_is_not_announced(self, case: WatchCase) -> None:
        """Otherwise the daemon would receive events for its own reads."""
        (case.directory / "root/d").mkdir(parents=True)
        write(case.directory / "root/d/a")
        with case.watching() as here:
            for _ in range(3):
                with tempfile.TemporaryFile() as copy, (here.top / "d/a").open("rb") as file:
                    copy.write(file.read())
                list((here.top / "d").iterdir())
            here.caught_up()
            assert not here.ear.named(here.top / "d/a")

    def test_nothing_is_announced_after_closing(self, case: WatchCase) -> None:
        """Closing twice is allowed."""
        with case.watching() as here:
            here.caught_up()
            here.watch.close()
            here.ear.forget()
            write(here.top / "late")
            here.watch.close()
            assert not here.ear.heard
            assert not here.ear.gaps

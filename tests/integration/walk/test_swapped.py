"""The walker in a tree whose owner replaces files and directories by links to a secret."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from hashwacht.platform.safe_open import FileChanged
from hashwacht.walk.listing import ListedDirectory
from hashwacht.walk.rules import ExclusionRules
from hashwacht.walk.walk import Walker
from support.attacker import attack
from support.processes import PROGRAMS

SWAPPER = PROGRAMS / "swap_directories.py"
SECRET = b"secret of another customer"
LIMIT = 20.0
"""Seconds until a race that ought to happen hundreds of times a second must have happened."""


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Make ``root`` with stable files and ``play``, and the siblings ``swap`` and ``outside``."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(3):
        (outside / f"inner{number}").write_bytes(SECRET)
    play, swap = tmp_path / "root/play", tmp_path / "swap"
    play.mkdir(parents=True)
    swap.mkdir()
    for number in range(4):
        (play / f"file{number}").write_bytes(b"harmless")
        (swap / f"file{number}").symlink_to(outside / f"inner{number % 3}")
        (play / f"dir{number}").mkdir()
        for inner in range(3):
            (play / f"dir{number}/inner{inner}").write_bytes(b"harmless")
        (swap / f"dir{number}").symlink_to(outside)
    (play / "file-fifo").write_bytes(b"harmless")
    os.mkfifo(swap / "file-fifo")
    (play / "file-dir").write_bytes(b"harmless")
    (swap / "file-dir").mkdir()
    (play / "file-file").write_bytes(b"harmless")
    (swap / "file-file").write_bytes(b"harmless too")
    for number in range(50):
        (tmp_path / f"root/stable{number % 5}").mkdir(exist_ok=True)
        (tmp_path / f"root/stable{number % 5}/{number}").write_bytes(b"stable")
    return tmp_path


def read_by_descriptor(
    directory: ListedDirectory, counts: Counter[str]
) -> Iterator[tuple[bytes, bytes]]:
    for entry in directory.files:
        try:
            fd = directory.open(entry)
        except FileChanged:
            counts["changed"] += 1
        except FileNotFoundError:
            counts["gone"] += 1
        else:
            with os.fdopen(fd, "rb") as file:
                yield directory.path + b"/" + entry.name, file.read()


def test_nothing_outside_is_read_and_everything_stable_is(scene: Path) -> None:
    root = bytes(scene / "root")
    stable = {bytes(path) for path in scene.glob("root/stable*/*")}
    assert len(stable) == 50
    counts: Counter[str] = Counter()
    end = time.monotonic() + LIMIT
    with attack(SWAPPER, scene / "root/play", scene / "swap"):
        while counts["rounds"] < 300 or counts["changed"] < 100 or not counts["play"]:
            assert time.monotonic() < end, counts
            contents: dict[bytes, bytes] = {}
            with closing(Walker(root, ExclusionRules([])).walk()) as walk:
                for directory in walk:
                    assert directory.path.startswith(root)
                    assert not directory.problems
                    contents.update(read_by_descriptor(directory, counts))
            assert stable <= contents.keys()
            assert not [path for path, content in contents.items() if SECRET in content]
            counts["rounds"] += 1
            counts["play"] += sum(b"/play/" in path for path in contents)


def test_the_same_attack_works_on_code_that_uses_paths(scene: Path) -> None:
    """Otherwise the test above could not fail."""
    end = time.monotonic() + LIMIT
    with attack(SWAPPER, scene / "root/play", scene / "swap"):
        while time.monotonic() < end:
            for here, _, names in os.walk(scene / "root/play"):
                for path in (Path(here, name) for name in names):
                    with suppress(OSError):
                        if path.is_file() and path.read_bytes() == SECRET:
                            return
    pytest.fail("the attack is harmless")


def test_a_directory_moved_away_during_the_walk_is_a_problem(tmp_path: Path) -> None:
    """It is so deep that the walker no longer holds its descriptor."""
    top = tmp_path / "root/top"
    deep = top.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    (top / "~").mkdir()
    (top / "~/unseen").touch()
    (tmp_path / "elsewhere").mkdir()
    walk = Walker(bytes(tmp_path / "root"), ExclusionRules([])).walk()
    walked = []
    for directory in walk:
        walked.append(directory)
        if directory.path == bytes(deep):
            (top / "d").rename(tmp_path / "elsewhere/d")
            top.rename(tmp_path / "elsewhere/top")
    (problem,) = [entry for entry in walked if entry.problems]
    if bytes(top / "~") in {entry.path for entry in walked}:
        pytest.skip("this file system gave the other directory first")
    assert problem.path == bytes(top)
    assert problem.problems[0].skip_reason == "changed-while-walked"
    assert problem.problems[0].skip_reason.loses_files


def test_a_directory_held_open_is_finished_where_it_went(tmp_path: Path) -> None:
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/a/x").write_bytes(b"x")
    (tmp_path / "root/a/b/y").touch()
    names = []
    for directory in Walker(bytes(tmp_path / "root"), ExclusionRules([])).walk():
        if directory.path.endswith(b"/a"):
            (tmp_path / "root/a").rename(tmp_path / "root/moved")
            (tmp_path / "root/a").symlink_to("/etc")
            os.close(directory.open(directory.files[0]))
        names += [entry.name for entry in directory.files]
    assert names == [b"x", b"y"]

"""Every announced file gets its verdict once it has settled, and is read once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from hashwacht.cases.case_opening import JudgedFile
from hashwacht.core.types import Outcome
from hashwacht.core.watch_events import Lane
from hashwacht.settings import RootSettings
from hashwacht.storage.journal import JournalEntry
from support.daemon.daemon_harness import DaemonHarness, digest


def test_a_file_that_is_dropped_in_is_judged(harness: DaemonHarness, root: Path) -> None:
    harness.matcher.known.add(digest(b"known"))
    with harness.running():
        (root / "a").write_bytes(b"known")
        (root / "b").write_bytes(b"harmless")
        harness.wait_for(lambda: len(harness.casework.files) >= 2, "judged")
        harness.wait_until_done()
    assert harness.casework.paths(Outcome.MATCH) == {bytes(root / "a")}
    assert harness.casework.paths(Outcome.NO_MATCH) == {bytes(root / "b")}
    assert {file.root for file in harness.casework.files} == {"uploads"}
    assert harness.unjudged_files(root) == set()


def test_casework_gets_the_very_bytes_that_were_hashed(harness: DaemonHarness, root: Path) -> None:
    bodies: list[bytes] = []

    def swap_and_read(file: JudgedFile) -> None:
        (root / "a").rename(root / "b")
        (root / "a").write_bytes(b"something else")
        bodies.append(os.pread(harness.casework.fd_of(file), 100, 0))
        harness.casework.problem = lambda _: None

    harness.casework.problem = swap_and_read
    with harness.running():
        (root / "a").write_bytes(b"what was hashed")
        harness.wait_for(lambda: bodies, "judged")
        harness.wait_until_done()
    assert bodies == [b"what was hashed"]
    assert harness.unjudged_files(root) == set()


def test_files_with_hostile_names_in_new_directories_are_judged(
    harness: DaemonHarness, root: Path
) -> None:
    with harness.running():
        for number in range(300):
            folder = root / os.fsdecode(b"\xff\n%d" % (number % 7)) / "deep"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / os.fsdecode(b"\x1b[2J%d\xfe" % number)).write_bytes(b"%d" % number)
        harness.wait_for(lambda: len({e.path for e in harness.casework.files}) == 300, "judged")
        harness.wait_until_done()
    assert harness.unjudged_files(root) == set()


def test_a_tree_that_is_moved_in_is_judged_wholly(
    harness: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    for number in range(40):
        path = tmp_path / "outside" / f"{number % 5}" / "x" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    with harness.running():
        harness.wait_until_done()
        (tmp_path / "outside").rename(root / "moved in")
        harness.wait_for(lambda: len(harness.casework.files) >= 40, "judged")
        harness.wait_until_done()
        (root / "moved in").rename(root / "moved on")
        harness.wait_for(lambda: not harness.unjudged_files(root), "known under the new names")
        harness.wait_until_done()


def test_a_file_is_not_read_before_its_writer_is_done(harness: DaemonHarness, root: Path) -> None:
    with harness.running():
        with (root / "slow").open("wb", buffering=0) as file:
            for _ in range(10):
                file.write(b"a part of it")
                time.sleep(0.02)  # a slow upload
            assert harness.counting.read == 0
        harness.wait_for(lambda: harness.casework.files, "judged")
        harness.wait_until_done()
    (judged,) = harness.casework.files
    assert judged.fingerprint.size == 120
    assert harness.counting.read == 1


def test_a_file_open_for_writing_is_read_when_it_has_settled(
    harness: DaemonHarness, root: Path
) -> None:
    with harness.running(), (root / "open").open("wb", buffering=0) as file:
        file.write(b"never closed")
        expected = digest(b"never closed")
        harness.wait_for(
            lambda: expected in {file.fingerprint.key for file in harness.casework.files},
            "judged although it is open",
        )


def look(harness: DaemonHarness, attempts: int) -> JournalEntry:
    """Wait for the stored entry of the only file, or for a later one; return it."""

    def entries() -> list[JournalEntry]:
        return harness.store.journal.load_due(Lane.UPLOAD, time.time() + 9, 9)

    harness.wait_for(lambda: [e for e in entries() if e.attempts >= attempts], "looked at again")
    return entries()[0]


@contextmanager
def written_to(path: Path, pause: float) -> Iterator[None]:
    """Write to a file continuously without closing it."""
    ended = threading.Event()

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            while not ended.wait(pause):
                file.write(b"more")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


def test_a_file_under_constant_writing_is_read_ever_more_rarely(
    harness: DaemonHarness, root: Path
) -> None:
    harness.change(settle_time=0.05, max_settle_time=1.0)
    with harness.running():
        with written_to(root / "busy", 0.002):
            looks = [look(harness, attempts) for attempts in range(1, 6)]
            assert harness.counting.read == 0
        harness.wait_for(lambda: not harness.unjudged_files(root), "judged at last")
    for entry, next_one in pairwise(looks):
        pauses = [min(1.0, 0.05 * 2**n) for n in range(entry.attempts, next_one.attempts)]
        assert next_one.due - entry.due >= sum(pauses)


def test_constant_writing_does_not_prevent_reading(harness: DaemonHarness, root: Path) -> None:
    """It is not polled afterwards either: closing it is announced."""
    harness.change(settle_time=0.02, max_settle_time=0.1)
    with harness.running():
        with written_to(root / "busy", 0.02):
            harness.wait_for(lambda: harness.casework.files, "judged while it is written to")
            harness.wait_until_done()
            read = harness.counting.read
        harness.wait_for(lambda: not harness.unjudged_files(root), "judged as it is in the end")
    assert read <= 2


def test_a_file_rewritten_repeatedly_is_not_read_each_time(
    harness: DaemonHarness, root: Path
) -> None:
    with harness.running():
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            with (root / "log").open("ab") as file:
                file.write(b"a line\n")
            time.sleep(0.005)
        harness.wait_for(lambda: not harness.unjudged_files(root), "judged as it is in the end")
    assert harness.counting.read < 15


def drop_in(harness: DaemonHarness, path: Path) -> None:
    """Check that a file is judged exactly once.

    The walk after every start could see it too; and for a file written in place, creation and close
    may be announced separately.
    """
    harness.wait_until_done()
    outside = path.parent.parent / "outside"
    outside.write_bytes(b"content")
    outside.rename(path)
    harness.wait_for(lambda: len(harness.casework.files) == 1, "judged")


def test_an_unchanged_file_announced_again_is_not_read(harness: DaemonHarness, root: Path) -> None:
    with harness.running():
        drop_in(harness, root / "a")
        with (root / "a").open("r+b"):
            pass  # opened for writing without a write: the close is announced
        harness.wait_for(lambda: len(harness.casework.files) == 2, "judged again")
        harness.wait_until_done()
    assert harness.counting.read == 1
    assert all(file.fd is not None for file in harness.casework.files)


def test_another_name_of_a_file_costs_no_reading(harness: DaemonHarness, root: Path) -> None:
    with harness.running():
        drop_in(harness, root / "a")
        (root / "b").hardlink_to(root / "a")
        harness.wait_for(lambda: len(harness.casework.files) == 2, "judged")
        first = harness.counting.read
        (root / "c").hardlink_to(root / "a")
        harness.wait_for(lambda: not harness.unjudged_files(root), "judged")
        harness.wait_until_done()
    assert first <= 2, "making a link changes the file's change time: it may be read once more"


def test_what_is_no_regular_file_is_passed_over(
    harness: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    with harness.running():
        os.mkfifo(root / "pipe")
        (root / "link").symlink_to(tmp_path / "secret")
        (root / "folder").symlink_to(tmp_path)
        (root / "a").write_bytes(b"a")
        harness.wait_for(lambda: harness.casework.files, "judged")
        harness.wait_until_done()
    assert {file.path for file in harness.casework.files} == {bytes(root / "a")}


def test_the_innermost_root_and_its_rules_count(harness: DaemonHarness, root: Path) -> None:
    (root / "inner").mkdir()
    (root / "state").mkdir()
    harness.roots = (
        RootSettings("outer", root, exclude=("*.log",)),
        RootSettings("inner", root / "inner", exclude=("cache/",)),
    )
    harness.own = (bytes(root / "state"),)
    (root / "inner/early.log").write_bytes(b"0")
    with harness.running():
        for name in ("a", "b.log", "state/c", "inner/d", "inner/e.log"):
            (root / name).write_bytes(name.encode())
        (root / "inner/cache").mkdir()
        (root / "inner/cache/f").write_bytes(b"f")
        harness.wait_for(lambda: len(harness.casework.files) >= 4, "judged")
        harness.wait_until_done()
    roots = {file.path.removeprefix(bytes(root)): file.root for file in harness.casework.files}
    assert roots == {
        b"/a": "outer",
        b"/inner/d": "inner",
        b"/inner/e.log": "inner",
        b"/inner/early.log": "inner",
    }


def test_what_fails_after_a_verdict_is_tried_again(harness: DaemonHarness, root: Path) -> None:
    failures: list[JudgedFile] = []

    def fail_twice(file: JudgedFile) -> None:
        if len(failures) < 2:
            failures.append(file)
            raise RuntimeError("a mistake of ours")

    harness.casework.problem = fail_twice
    with harness.running():
        (root / "a").write_bytes(b"a")
        harness.wait_for(lambda: harness.casework.files, "judged in the end")
        harness.wait_until_done()
    assert len(failures) == 2
    assert harness.counting.read == 1

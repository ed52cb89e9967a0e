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


def test_a_file_that_is_dropped_in_is_judged(bench: DaemonHarness, root: Path) -> None:
    bench.matcher.known.add(digest(b"known"))
    with bench.running():
        (root / "a").write_bytes(b"known")
        (root / "b").write_bytes(b"harmless")
        bench.wait_for(lambda: len(bench.casework.files) >= 2, "judged")
        bench.wait_until_done()
    assert bench.casework.paths(Outcome.MATCH) == {bytes(root / "a")}
    assert bench.casework.paths(Outcome.NO_MATCH) == {bytes(root / "b")}
    assert {file.root for file in bench.casework.files} == {"uploads"}
    assert bench.unjudged_files(root) == set()


def test_casework_gets_the_very_bytes_that_were_hashed(bench: DaemonHarness, root: Path) -> None:
    bodies: list[bytes] = []

    def swap_and_read(file: JudgedFile) -> None:
        (root / "a").rename(root / "b")
        (root / "a").write_bytes(b"something else")
        bodies.append(os.pread(bench.casework.fd_of(file), 100, 0))
        bench.casework.problem = lambda _: None

    bench.casework.problem = swap_and_read
    with bench.running():
        (root / "a").write_bytes(b"what was hashed")
        bench.wait_for(lambda: bodies, "judged")
        bench.wait_until_done()
    assert bodies == [b"what was hashed"]
    assert bench.unjudged_files(root) == set()


def test_files_with_hostile_names_in_new_directories_are_judged(
    bench: DaemonHarness, root: Path
) -> None:
    with bench.running():
        for number in range(300):
            folder = root / os.fsdecode(b"\xff\n%d" % (number % 7)) / "deep"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / os.fsdecode(b"\x1b[2J%d\xfe" % number)).write_bytes(b"%d" % number)
        bench.wait_for(lambda: len({e.path for e in bench.casework.files}) == 300, "judged")
        bench.wait_until_done()
    assert bench.unjudged_files(root) == set()


def test_a_tree_that_is_moved_in_is_judged_wholly(
    bench: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    for number in range(40):
        path = tmp_path / "outside" / f"{number % 5}" / "x" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)
    with bench.running():
        bench.wait_until_done()
        (tmp_path / "outside").rename(root / "moved in")
        bench.wait_for(lambda: len(bench.casework.files) >= 40, "judged")
        bench.wait_until_done()
        (root / "moved in").rename(root / "moved on")
        bench.wait_for(lambda: not bench.unjudged_files(root), "known under the new names")
        bench.wait_until_done()


def test_a_file_is_not_read_before_its_writer_is_done(bench: DaemonHarness, root: Path) -> None:
    with bench.running():
        with (root / "slow").open("wb", buffering=0) as file:
            for _ in range(10):
                file.write(b"a part of it")
                time.sleep(0.02)  # a slow upload
            assert bench.counting.read == 0
        bench.wait_for(lambda: bench.casework.files, "judged")
        bench.wait_until_done()
    (judged,) = bench.casework.files
    assert judged.fingerprint.size == 120
    assert bench.counting.read == 1


def test_a_file_open_for_writing_is_read_when_it_has_settled(
    bench: DaemonHarness, root: Path
) -> None:
    with bench.running(), (root / "open").open("wb", buffering=0) as file:
        file.write(b"never closed")
        expected = digest(b"never closed")
        bench.wait_for(
            lambda: expected in {file.fingerprint.key for file in bench.casework.files},
            "told although it is open",
        )


def look(bench: DaemonHarness, attempts: int) -> JournalEntry:
    """Wait for the stored entry of the only file, or for a later one; return it."""

    def entries() -> list[JournalEntry]:
        return bench.store.journal.load_due(Lane.UPLOAD, time.time() + 9, 9)

    bench.wait_for(lambda: [e for e in entries() if e.attempts >= attempts], "looked at again")
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
    bench: DaemonHarness, root: Path
) -> None:
    bench.change(settle_time=0.05, max_settle_time=1.0)
    with bench.running():
        with written_to(root / "busy", 0.002):
            looks = [look(bench, attempts) for attempts in range(1, 6)]
            assert bench.counting.read == 0
        bench.wait_for(lambda: not bench.unjudged_files(root), "judged at last")
    for entry, next_one in pairwise(looks):
        pauses = [min(1.0, 0.05 * 2**n) for n in range(entry.attempts, next_one.attempts)]
        assert next_one.due - entry.due >= sum(pauses)


def test_constant_writing_does_not_prevent_reading(bench: DaemonHarness, root: Path) -> None:
    """It is not polled afterwards either: closing it is announced."""
    bench.change(settle_time=0.02, max_settle_time=0.1)
    with bench.running():
        with written_to(root / "busy", 0.02):
            bench.wait_for(lambda: bench.casework.files, "judged while it is written to")
            bench.wait_until_done()
            read = bench.counting.read
        bench.wait_for(lambda: not bench.unjudged_files(root), "judged as it is in the end")
    assert read <= 2


def test_a_file_rewritten_repeatedly_is_not_read_each_time(
    bench: DaemonHarness, root: Path
) -> None:
    with bench.running():
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            with (root / "log").open("ab") as file:
                file.write(b"a line\n")
            time.sleep(0.005)
        bench.wait_for(lambda: not bench.unjudged_files(root), "judged as it is in the end")
    assert bench.counting.read < 15


def drop_in(bench: DaemonHarness, path: Path) -> None:
    """Check that a file is judged exactly once.

    The walk after every start could see it too; and for a file written in place, creation and close
    may be announced separately.
    """
    bench.wait_until_done()
    outside = path.parent.parent / "outside"
    outside.write_bytes(b"content")
    outside.rename(path)
    bench.wait_for(lambda: len(bench.casework.files) == 1, "judged")


def test_an_unchanged_file_announced_again_is_not_read(bench: DaemonHarness, root: Path) -> None:
    with bench.running():
        drop_in(bench, root / "a")
        with (root / "a").open("r+b"):
            pass  # opened for writing without a write: the close is announced
        bench.wait_for(lambda: len(bench.casework.files) == 2, "judged again")
        bench.wait_until_done()
    assert bench.counting.read == 1
    assert all(file.fd is not None for file in bench.casework.files)


def test_another_name_of_a_file_costs_no_reading(bench: DaemonHarness, root: Path) -> None:
    with bench.running():
        drop_in(bench, root / "a")
        (root / "b").hardlink_to(root / "a")
        bench.wait_for(lambda: len(bench.casework.files) == 2, "judged")
        first = bench.counting.read
        (root / "c").hardlink_to(root / "a")
        bench.wait_for(lambda: not bench.unjudged_files(root), "judged")
        bench.wait_until_done()
    assert first <= 2, "making a link changes the file's change time: it may be read once more"


def test_what_is_no_regular_file_is_passed_over(
    bench: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    with bench.running():
        os.mkfifo(root / "pipe")
        (root / "link").symlink_to(tmp_path / "secret")
        (root / "folder").symlink_to(tmp_path)
        (root / "a").write_bytes(b"a")
        bench.wait_for(lambda: bench.casework.files, "judged")
        bench.wait_until_done()
    assert {file.path for file in bench.casework.files} == {bytes(root / "a")}


def test_the_innermost_root_and_its_rules_count(bench: DaemonHarness, root: Path) -> None:
    (root / "inner").mkdir()
    (root / "state").mkdir()
    bench.roots = (
        RootSettings("outer", root, exclude=("*.log",)),
        RootSettings("inner", root / "inner", exclude=("cache/",)),
    )
    bench.own = (bytes(root / "state"),)
    (root / "inner/early.log").write_bytes(b"0")
    with bench.running():
        for name in ("a", "b.log", "state/c", "inner/d", "inner/e.log"):
            (root / name).write_bytes(name.encode())
        (root / "inner/cache").mkdir()
        (root / "inner/cache/f").write_bytes(b"f")
        bench.wait_for(lambda: len(bench.casework.files) >= 4, "judged")
        bench.wait_until_done()
    roots = {file.path.removeprefix(bytes(root)): file.root for file in bench.casework.files}
    assert roots == {
        b"/a": "outer",
        b"/inner/d": "inner",
        b"/inner/e.log": "inner",
        b"/inner/early.log": "inner",
    }


def test_what_fails_after_a_verdict_is_tried_again(bench: DaemonHarness, root: Path) -> None:
    failures: list[JudgedFile] = []

    def fail_twice(file: JudgedFile) -> None:
        if len(failures) < 2:
            failures.append(file)
            raise RuntimeError("a mistake of ours")

    bench.casework.problem = fail_twice
    with bench.running():
        (root / "a").write_bytes(b"a")
        bench.wait_for(lambda: bench.casework.files, "judged in the end")
        bench.wait_until_done()
    assert len(failures) == 2
    assert bench.counting.read == 1

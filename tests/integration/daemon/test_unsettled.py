"""A file that had a writer when it was read, or has one that is not reported, is read again."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from hashwacht.core.types import FileId, Outcome
from hashwacht.core.watch_events import Lane
from support.daemon.daemon_harness import DaemonHarness, digest

HARMLESS, KNOWN = b"harmless" * 1024, b"well known" * 1024
HARMLESS = HARMLESS.ljust(len(KNOWN), b"x")
"""Of the same length, so that the size gives nothing away."""


def _is_judged(harness: DaemonHarness, path: Path, content: bytes) -> Callable[[], bool]:
    """Return a test whether this content was judged under this path."""
    key, name = digest(content), bytes(path)
    return lambda: any(
        file.path == name and file.fingerprint.key == key for file in harness.casework.files
    )


def _await_match(harness: DaemonHarness, path: Path) -> None:
    harness.wait_for(_is_judged(harness, path, KNOWN), "judged as it is now")
    assert bytes(path) in harness.casework.paths(Outcome.MATCH)


@pytest.fixture(autouse=True)
def known(harness: DaemonHarness) -> None:
    harness.matcher.known.add(digest(KNOWN))
    harness.change(settle_time=0.05, max_settle_time=1.0)


def test_a_write_through_a_map_after_the_reading_is_noticed(
    harness: DaemonHarness, root: Path
) -> None:
    """The first write to each page came before the reading, so the times do not move."""
    path = root / "mapped"
    with harness.running(), ExitStack() as stack:
        with path.open("w+b") as file:
            file.write(HARMLESS)
            file.flush()
            pages = stack.enter_context(mmap.mmap(file.fileno(), len(HARMLESS)))
            for offset in range(0, len(HARMLESS), mmap.PAGESIZE):
                pages[offset] = pages[offset]
        harness.wait_for(_is_judged(harness, path, HARMLESS), "judged")
        before = path.stat()
        pages[:] = KNOWN
        after = path.stat()
        assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
        _await_match(harness, path)
        assert harness.waiting(Lane.UNSETTLED) == 1
        stack.close()
        harness.wait_for(lambda: not harness.waiting(Lane.UNSETTLED), "settled")


def test_a_write_to_an_old_file_that_is_kept_open_is_noticed(
    harness: DaemonHarness, root: Path
) -> None:
    path = root / "old"
    path.write_bytes(HARMLESS)
    with harness.running():
        harness.wait_until_done()
        with path.open("r+b", buffering=0) as file:
            file.write(KNOWN)
            _await_match(harness, path)


def test_a_write_through_a_link_outside_the_root_is_noticed(
    harness: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    """Whether the link is there when the file is read, or is created afterwards."""
    early, late = root / "early", root / "late"
    (tmp_path / "early").write_bytes(HARMLESS)
    with harness.running():
        early.hardlink_to(tmp_path / "early")
        late.write_bytes(HARMLESS)
        for path in (early, late):
            harness.wait_for(_is_judged(harness, path, HARMLESS), "judged")
        (tmp_path / "late").hardlink_to(late)
        for name in ("early", "late"):
            with (tmp_path / name).open("r+b") as file:
                file.write(KNOWN)
        for path in (early, late):
            _await_match(harness, path)
        (tmp_path / "early").unlink()
        (tmp_path / "late").unlink()
        harness.wait_for(lambda: not harness.waiting(Lane.UNSETTLED), "settled")


def test_a_file_that_is_linked_in_while_it_is_open_is_read_in_the_end(
    harness: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    """Created without a name, or outside the root."""
    with harness.running():
        unnamed = os.open(root, os.O_TMPFILE | os.O_RDWR)
        outside = os.open(tmp_path / "outside", os.O_CREAT | os.O_RDWR)
        os.link(f"/proc/self/fd/{unnamed}", root / "unnamed", src_dir_fd=unnamed)
        os.link(tmp_path / "outside", root / "outside")
        for fd, name in ((unnamed, "unnamed"), (outside, "outside")):
            os.write(fd, HARMLESS)
            harness.wait_for(_is_judged(harness, root / name, HARMLESS), "judged while it is open")
            os.pwrite(fd, KNOWN, 0)
            os.close(fd)
            _await_match(harness, root / name)


def test_a_write_under_a_name_that_is_gone_is_noticed(harness: DaemonHarness, root: Path) -> None:
    """The file has another name, for which there is no event."""
    (root / "kept").write_bytes(HARMLESS)
    (root / "gone").hardlink_to(root / "kept")
    with harness.running():
        harness.wait_until_done()
        with (root / "gone").open("r+b", buffering=0) as file:
            (root / "gone").unlink()
            file.write(KNOWN)
        _await_match(harness, root / "kept")


def test_constant_closing_does_not_postpone_the_reading(harness: DaemonHarness, root: Path) -> None:
    """A file that has a writer, and is opened and closed by another one all the time."""
    path, ended = root / "busy", threading.Event()

    def close_again_and_again() -> None:
        while not ended.wait(0.05):
            os.close(os.open(path, os.O_WRONLY))

    with harness.running(), path.open("wb", buffering=0) as file:
        file.write(KNOWN)
        thread = threading.Thread(target=close_again_and_again)
        thread.start()
        try:
            _await_match(harness, path)
        finally:
            ended.set()
            thread.join()


def test_an_announced_file_is_read_though_nothing_seems_changed(
    harness: DaemonHarness, root: Path
) -> None:
    """File systems exchange the contents of two files without moving a time."""
    path = root / "exchanged"
    path.write_bytes(HARMLESS)
    with harness.running():
        harness.wait_until_done()
    stored = harness.store.files.load(bytes(root), b"exchanged")
    assert stored is not None
    path.write_bytes(KNOWN)
    row = b"exchanged", FileId.from_stat(path.stat()), 1, stored.content, None
    harness.store.files.record(bytes(root), 0, [row])
    with harness.running():
        harness.wait_until_done()
        assert not harness.casework.paths(Outcome.MATCH), "a walk has no reason to read it"
        os.close(os.open(path, os.O_WRONLY))
        _await_match(harness, path)


def test_equal_bytes_are_not_decoded_again(harness: DaemonHarness, root: Path) -> None:
    with harness.running():
        (root / "same").write_bytes(HARMLESS)
        harness.wait_for(_is_judged(harness, root / "same", HARMLESS), "judged")
        harness.wait_until_done()
        read = harness.counting.read
        judged = len(harness.casework.files)
        (root / "same").chmod(0o600)
        harness.wait_for(lambda: len(harness.casework.files) > judged, "judged again")
        assert harness.counting.read == read


def test_many_open_files_delay_no_upload(harness: DaemonHarness, root: Path) -> None:
    with harness.running(), ExitStack() as stack:
        for number in range(200):
            file = stack.enter_context((root / f"open-{number}").open("wb", buffering=0))
            file.write(b"%d" % number)
        harness.wait_for(lambda: harness.waiting(Lane.UNSETTLED) == 200, "read while they are open")
        (root / "upload").write_bytes(KNOWN)
        _await_match(harness, root / "upload")
        harness.wait_until_done(gaps=False)

"""The public API: files and streams in, verdicts out."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest

from hashwacht import CheckBackend, Checker, HashwachtError, Outcome, Reason, UploadContext
from hashwacht.core.errors import StorageBusy
from hashwacht.storage.store import Store
from hashwacht.storage.uploads import UploadRecords
from hashwacht.testing.fakes import KnowingMatcher
from support.plugins.uploads import Gate, descriptors
from support.scan_harness import ScanHarness

KNOWN = b"known bytes"
KEY = hashlib.sha256(KNOWN).hexdigest()
CONTEXT = UploadContext("2026-01-01T00:00:00+00:00", "192.0.2.1", 4711, "alice")


def test_a_path_a_descriptor_and_a_stream_get_the_same_verdict(
    checker: Checker, matcher: KnowingMatcher, tmp_path: Path
) -> None:
    matcher.known.add(KEY)
    file = tmp_path / "file"
    file.write_bytes(KNOWN)
    with file.open("rb") as opened:
        opened.seek(5)
        found = [
            checker.scan_file(file),
            checker.scan_file(bytes(file)),
            checker.scan_file(opened.fileno()),
            checker.scan_stream([KNOWN[:3], b"", KNOWN[3:]]),
        ]
        os.fstat(opened.fileno())  # still open
    assert {(each.outcome, each.key, each.size) for each in found} == {
        (Outcome.MATCH, KEY, len(KNOWN))
    }
    assert checker.scan_stream([b"other"]).outcome is Outcome.NO_MATCH


def test_what_is_no_regular_file_is_refused_without_blocking(
    checker: Checker, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, tmp_path / "missing"):
        with pytest.raises(OSError, match=r"regular|No such"):
            checker.scan_file(path)


def test_a_recheck_asks_again_and_keeps_the_origin(
    checker: Checker, matcher: KnowingMatcher, uploads: UploadRecords, tmp_path: Path
) -> None:
    matcher.silent = True
    first = checker.scan_stream([KNOWN], CONTEXT)
    assert (first.outcome, first.reason, first.recorded) == (
        Outcome.UNDETERMINED,
        Reason.UNANSWERED,
        True,
    )
    matcher.silent = False
    matcher.known.add(KEY)
    late = ScanHarness(tmp_path / "state", matcher).recheck()
    assert [(each.key, each.verdict.outcome) for each in late.results] == [(KEY, Outcome.MATCH)]
    assert uploads.load(KEY) == [CONTEXT]


def test_of_a_content_without_match_nothing_is_kept(
    checker: Checker, uploads: UploadRecords
) -> None:
    found = checker.scan_stream([b"harmless"], CONTEXT)
    assert (found.outcome, found.recorded) == (Outcome.NO_MATCH, False)
    assert list(uploads.keys()) == []


def test_a_failing_state_is_logged_and_changes_no_verdict(
    checker: Checker,
    matcher: KnowingMatcher,
    uploads: UploadRecords,
    caplog: pytest.LogCaptureFixture,
) -> None:
    matcher.known.add(KEY)
    uploads._database.execute("DROP TABLE uploads", ())
    found = checker.scan_stream([KNOWN], CONTEXT)
    assert (found.outcome, found.recorded) == (Outcome.MATCH, False)
    assert "cannot be recorded" in caplog.text


def test_a_backend_that_fails_to_open_is_tried_again() -> None:
    gate = Gate()
    gate.open.set()
    faults = [StorageBusy("somebody else has it", advice="Wait.")]

    def opener() -> CheckBackend:
        if faults:
            raise faults.pop()
        return gate

    with Checker(opener) as checker:
        first, second = checker.scan_stream([b"x"]), checker.scan_stream([b"x"])
    assert (first.reason, first.verdict.detail) == (
        Reason.UNANSWERED,
        "somebody else has it Wait.",
    )
    assert second.outcome is Outcome.NO_MATCH


def test_a_full_queue_is_an_answer_at_once() -> None:
    gate = Gate()
    with (
        Checker(lambda: gate, threads=1, max_pending=2) as checker,
        tempfile.TemporaryFile() as file,
    ):
        waiting = [checker.submit(file.fileno()) for _ in range(2)]
        refused = checker.submit(file.fileno()).result(0)
        gate.open.set()
        assert [each.result(10).outcome for each in waiting] == [Outcome.NO_MATCH] * 2
        assert refused.reason is Reason.OVERLOADED
        assert checker.submit(file.fileno()).result(10).outcome is Outcome.NO_MATCH


def test_descriptors_are_closed_when_a_check_ends() -> None:
    gate = Gate()
    with Checker(lambda: gate, threads=1) as checker:
        before = descriptors()
        with tempfile.TemporaryFile() as file:
            file.write(b"content")
            file.flush()
            running = checker.submit(file.fileno())
            assert gate.begun.wait(10)
            assert checker.submit(file.fileno()).cancel()
        gate.open.set()  # the caller closed the file meanwhile
        running.result(10)
        assert gate.seen == [b"content"]
        assert descriptors() == before


def test_a_closed_checker_says_so_and_can_be_closed_again(checker: Checker) -> None:
    checker.close()
    checker.close()
    with pytest.raises(HashwachtError, match="closed"):
        checker.scan_stream([b"x"])


def test_a_forked_child_opens_a_workplace_of_its_own(tmp_path: Path) -> None:
    opened = tmp_path / "opened"

    def opener() -> CheckBackend:
        with opened.open("a") as file:
            file.write(f"{os.getpid()}\n")
        gate = Gate()
        gate.open.set()
        return gate

    checker = Checker(opener, threads=1)
    checker.scan_stream([b"x"])
    child = multiprocessing.get_context("fork").Process(target=checker.scan_stream, args=([b"x"],))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert len(set(opened.read_text().split())) == 2
    checker.close()


def test_the_storage_stays_usable_beside_an_open_checker(
    checker: Checker, matcher: KnowingMatcher, tmp_path: Path
) -> None:
    matcher.silent = True
    checker.scan_stream([KNOWN], CONTEXT)
    with Store.open(tmp_path / "state") as store, store.acquire_lock():
        assert checker.scan_stream([b"another"], CONTEXT).recorded

"""While a service does not answer, every content is stored, and looked up afterwards in order.

``HASHWACHT_OUTAGE`` sets the number of files; a full run has 50,000.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hashwacht.core.ports import Query
from hashwacht.core.types import Answer, Outcome, Reason
from hashwacht.daemon.scanner.recheck_loop import PROBE
from support.daemon.daemon_harness import DaemonHarness, Service, digest
from support.scan_harness import ScanHarness

FILES = int(os.environ.get("HASHWACHT_OUTAGE", "120"))
"""Files that arrive during the outage."""


@dataclass
class Returning(Service):
    """A service that recovers as soon as it receives *returns_for*."""

    returns_for: str = ""

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Answer, or fail during the outage."""
        if any(signal.value == self.returns_for for question in questions for signal in question):
            self.silent = False
        return super().lookup(questions)


def keys(harness: DaemonHarness) -> list[str]:
    """Return the pending contents in their order."""
    return [harness.key(content.content) for content in harness.store.pending.load_next(FILES + 99)]


def test_after_an_outage_uploads_are_asked_first_by_age(harness: DaemonHarness, root: Path) -> None:
    harness.max_age = 1e9  # as for a service
    harness.patience += FILES / 50
    harness.matcher = service = Returning(now=time.time(), silent=True)
    harness.matcher.known |= {digest(b"upload 7"), digest(b"early 3")}
    for number in range(5):
        (root / f"early{number}").write_bytes(b"early %d" % number)
    with harness.running():
        harness.wait_for(lambda: harness.store.pending.count() == 5, "waiting")
        for number in range(FILES):
            (root / f"upload{number:03}").write_bytes(b"upload %d" % number)
            if number % 40 == 0:
                time.sleep(0.05)  # they must not all have the same time
        harness.wait_for(lambda: harness.store.pending.count() == 5 + FILES, "waiting")
        harness.wait_until_done()
        assert harness.casework.paths(Outcome.UNDETERMINED), "the casework receives them meanwhile"
        order = keys(harness)
        asked_count = len(harness.matcher.asked)
        for number in range(0, FILES, 2):
            (root / f"upload{number:03}").unlink()
        (root / "early3").unlink()
        harness.counting.read = 0
        service.returns_for = order[0]
        harness.wait_for(lambda: not harness.store.pending.count(), "looked up")
    assert asked_count < 20 * FILES, "a service that does not answer is not queried continuously"
    questions = list(dict.fromkeys(harness.matcher.answered))
    assert questions == order
    assert set(order[-5:]) == {digest(b"early %d" % number) for number in range(5)}
    assert harness.counting.read == 0, "no file is read for it"
    late = [file for file in harness.casework.files if file.verdict.outcome is Outcome.MATCH]
    assert {file.path for file in late} == {bytes(root / "upload007"), bytes(root / "early3")}
    assert all(file.fd is None for file in late)


def wait_in_two_lanes(harness: DaemonHarness, root: Path) -> None:
    """Record 90 pending contents, those with the lowest numbers in the second lane."""
    harness.max_age = 1e9
    for number in range(10):
        (root / f"early{number}").write_bytes(b"early %d" % number)
    with harness.running():
        harness.wait_for(lambda: harness.store.pending.count() == 10, "waiting")
        for number in range(80):
            (root / f"upload{number:03}").write_bytes(b"upload %d" % number)
        harness.wait_for(lambda: harness.store.pending.count() == 90, "waiting")
        harness.wait_until_done()


def test_after_a_restart_in_an_outage_the_order_is_the_same(
    harness: DaemonHarness, root: Path
) -> None:
    harness.matcher = service = Returning(now=time.time(), silent=True)
    wait_in_two_lanes(harness, root)
    order, before = keys(harness), len(service.asked)
    with harness.running():
        harness.wait_for(lambda: len(service.asked) > before, "looked up without an answer")
        service.returns_for = order[0]
        harness.wait_for(lambda: not harness.store.pending.count(), "looked up")
    assert list(dict.fromkeys(service.answered)) == order


def test_a_recovered_matcher_is_asked_about_the_oldest_first(
    harness: DaemonHarness, root: Path
) -> None:
    harness.matcher = service = Returning(now=time.time(), silent=True)
    wait_in_two_lanes(harness, root)
    order = keys(harness)
    service.returns_for = order[PROBE]
    with harness.running():
        harness.wait_for(lambda: not harness.store.pending.count(), "looked up")
    questions = list(dict.fromkeys(service.answered))
    assert questions == order[PROBE : 2 * PROBE] + order[:PROBE] + order[2 * PROBE :]


def test_a_new_list_is_asked_while_a_service_fails(harness: DaemonHarness, root: Path) -> None:
    harness.matcher.silent = True
    wait_in_two_lanes(harness, root)
    (root / "early7").unlink()
    with harness.running():
        harness.wait_until_done()
        harness.local.known |= {digest(b"early 7"), digest(b"upload 77")}
        harness.local.revision = "2"
        harness.wait_for(lambda: len(harness.casework.paths(Outcome.MATCH)) == 2, "judged")
        harness.wait_for(lambda: harness.store.pending.count() == 88, "done")
    assert harness.casework.paths(Outcome.MATCH) == {
        bytes(root / "early7"),
        bytes(root / "upload077"),
    }


def test_a_late_answer_is_reported_for_every_path(harness: DaemonHarness, root: Path) -> None:
    harness.max_age = 1e9
    harness.matcher.silent = True
    harness.matcher.known.add(digest(b"known"))
    with harness.running():
        for name in ("a", "b", "c"):
            (root / name).write_bytes(b"known")
        harness.wait_for(lambda: not harness.unjudged_files(root), "judged")
        harness.wait_until_done()
    with harness.running():
        harness.matcher.silent = False
        harness.wait_for(lambda: len(harness.casework.paths(Outcome.MATCH)) == 3, "judged")


def test_a_silent_service_does_not_hold_up_what_local_lists_know(
    harness: DaemonHarness, root: Path
) -> None:
    harness.local.known.add(digest(b"known here"))
    harness.max_age = 1e9
    harness.matcher.slow = 30.0
    with harness.running():
        for number in range(30):
            (root / f"{number}").write_bytes(b"%d" % number)
            time.sleep(0.01)  # so that they are spread over several batches
        (root / "listed").write_bytes(b"known here")
        harness.wait_for(lambda: harness.casework.paths(Outcome.MATCH), "judged")
        harness.matcher.slow = 0.0


def test_a_new_list_is_asked_about_all_contents_at_once(harness: DaemonHarness, root: Path) -> None:
    for number in range(300):
        (root / f"{number}").write_bytes(b"%d" % number)
    with harness.running():
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
        harness.casework.files.clear()
        harness.counting.read = 0
        harness.matcher.known.add(digest(b"42"))
        harness.matcher.revision = "2"
        harness.wait_for(lambda: harness.casework.files, "found")
    (file,) = harness.casework.files
    assert (file.path, file.verdict.outcome) == (bytes(root / "42"), Outcome.MATCH)
    assert {answer.revision for answer in file.answers} == {"1", "2"}
    assert harness.counting.read == 0


def test_a_content_stays_waiting_until_what_follows_was_done(
    harness: DaemonHarness, root: Path
) -> None:
    harness.max_age = 1e9
    harness.matcher.silent = True
    harness.matcher.known.add(digest(b"known"))
    failures: list[object] = []

    def fail(found: object) -> None:
        failures.append(found)
        raise RuntimeError("a mistake of ours")

    with harness.running():
        (root / "a").write_bytes(b"known")
        harness.wait_for(harness.store.pending.count, "waiting")
        harness.wait_until_done()
        harness.casework.problem = fail
        harness.matcher.silent = False
        harness.wait_for(lambda: failures, "tried")
    assert harness.store.pending.count() == 1
    harness.casework.problem = lambda _: None
    with harness.running():
        harness.wait_for(lambda: harness.casework.paths(Outcome.MATCH), "judged")
        harness.wait_for(lambda: not harness.store.pending.count(), "done")


def test_scan_and_daemon_share_what_they_have_read(harness: DaemonHarness, root: Path) -> None:
    harness.matcher.known.add(digest(b"17"))
    scans = ScanHarness(harness.state, matcher=harness.matcher)
    for number in range(400):
        (root / f"{number}").write_bytes(b"%d" % number)
    with harness.running(), harness.store.acquire_daemon_lock():
        for round_ in range(5):
            for number in range(60):
                (root / f"new {round_} {number}").write_bytes(b"%d %d" % (round_, number))
            assert scans.scan(root).summary.counts.files
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
        read = scans.read
        scans.scan(root)
        assert scans.read == 0
    assert read <= 700
    assert harness.casework.paths(Outcome.MATCH) == {bytes(root / "17")}, "the daemon acts on both"


def test_an_unanswered_file_is_undetermined(harness: DaemonHarness, root: Path) -> None:
    harness.max_age = 1e9
    harness.matcher.silent = True
    with harness.running():
        (root / "a").write_bytes(b"a")
        harness.wait_for(lambda: harness.casework.files, "judged")
    assert harness.casework.files[0].verdict.reason is Reason.UNANSWERED

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
from support.scan_bench import ScanBench

FILES = int(os.environ.get("HASHWACHT_OUTAGE", "120"))
"""Files that come while nobody answers."""


@dataclass
class Returning(Service):
    """A service that recovers as soon as it receives *returns_for*."""

    returns_for: str = ""

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Answer, or fail during the outage."""
        if any(signal.value == self.returns_for for question in questions for signal in question):
            self.silent = False
        return super().lookup(questions)


def keys(bench: DaemonHarness) -> list[str]:
    """Return the pending contents in their order."""
    return [bench.key(content.content) for content in bench.store.pending.load_next(FILES + 99)]


def test_after_an_outage_uploads_are_asked_first_by_age(bench: DaemonHarness, root: Path) -> None:
    bench.max_age = 1e9  # as for a service
    bench.patience += FILES / 50
    bench.matcher = service = Returning(now=time.time(), silent=True)
    bench.matcher.known |= {digest(b"upload 7"), digest(b"early 3")}
    for number in range(5):
        (root / f"early{number}").write_bytes(b"early %d" % number)
    with bench.running():
        bench.wait_for(lambda: bench.store.pending.count() == 5, "waiting")
        for number in range(FILES):
            (root / f"upload{number:03}").write_bytes(b"upload %d" % number)
            if number % 40 == 0:
                time.sleep(0.05)  # they must not all have the same time
        bench.wait_for(lambda: bench.store.pending.count() == 5 + FILES, "waiting")
        bench.wait_until_done()
        assert bench.casework.paths(Outcome.UNDETERMINED), "the casework receives them meanwhile"
        order = keys(bench)
        asked_count = len(bench.matcher.asked)
        for number in range(0, FILES, 2):
            (root / f"upload{number:03}").unlink()
        (root / "early3").unlink()
        bench.counting.read = 0
        service.returns_for = order[0]
        bench.wait_for(lambda: not bench.store.pending.count(), "looked up")
    assert asked_count < 20 * FILES, "a service that does not answer is not queried continuously"
    questions = list(dict.fromkeys(bench.matcher.answered))
    assert questions == order
    assert set(order[-5:]) == {digest(b"early %d" % number) for number in range(5)}
    assert bench.counting.read == 0, "no file is read for it"
    late = [file for file in bench.casework.files if file.verdict.outcome is Outcome.MATCH]
    assert {file.path for file in late} == {bytes(root / "upload007"), bytes(root / "early3")}
    assert all(file.fd is None for file in late)


def wait_in_two_lanes(bench: DaemonHarness, root: Path) -> None:
    """Record 90 pending contents, those with the lowest numbers in the second lane."""
    bench.max_age = 1e9
    for number in range(10):
        (root / f"early{number}").write_bytes(b"early %d" % number)
    with bench.running():
        bench.wait_for(lambda: bench.store.pending.count() == 10, "waiting")
        for number in range(80):
            (root / f"upload{number:03}").write_bytes(b"upload %d" % number)
        bench.wait_for(lambda: bench.store.pending.count() == 90, "waiting")
        bench.wait_until_done()


def test_after_a_restart_in_an_outage_the_order_is_the_same(
    bench: DaemonHarness, root: Path
) -> None:
    bench.matcher = service = Returning(now=time.time(), silent=True)
    wait_in_two_lanes(bench, root)
    order, before = keys(bench), len(service.asked)
    with bench.running():
        bench.wait_for(lambda: len(service.asked) > before, "looked up without an answer")
        service.returns_for = order[0]
        bench.wait_for(lambda: not bench.store.pending.count(), "looked up")
    assert list(dict.fromkeys(service.answered)) == order


def test_a_recovered_matcher_is_asked_about_the_oldest_first(
    bench: DaemonHarness, root: Path
) -> None:
    bench.matcher = service = Returning(now=time.time(), silent=True)
    wait_in_two_lanes(bench, root)
    order = keys(bench)
    service.returns_for = order[PROBE]
    with bench.running():
        bench.wait_for(lambda: not bench.store.pending.count(), "looked up")
    questions = list(dict.fromkeys(service.answered))
    assert questions == order[PROBE : 2 * PROBE] + order[:PROBE] + order[2 * PROBE :]


def test_a_new_list_is_asked_while_a_service_fails(bench: DaemonHarness, root: Path) -> None:
    bench.matcher.silent = True
    wait_in_two_lanes(bench, root)
    (root / "early7").unlink()
    with bench.running():
        bench.wait_until_done()
        bench.local.known |= {digest(b"early 7"), digest(b"upload 77")}
        bench.local.revision = "2"
        bench.wait_for(lambda: len(bench.casework.paths(Outcome.MATCH)) == 2, "judged")
        bench.wait_for(lambda: bench.store.pending.count() == 88, "done")
    assert bench.casework.paths(Outcome.MATCH) == {
        bytes(root / "early7"),
        bytes(root / "upload077"),
    }


def test_a_late_answer_is_reported_for_every_path(bench: DaemonHarness, root: Path) -> None:
    bench.max_age = 1e9
    bench.matcher.silent = True
    bench.matcher.known.add(digest(b"known"))
    with bench.running():
        for name in ("a", "b", "c"):
            (root / name).write_bytes(b"known")
        bench.wait_for(lambda: not bench.unjudged_files(root), "judged")
        bench.wait_until_done()
    with bench.running():
        bench.matcher.silent = False
        bench.wait_for(lambda: len(bench.casework.paths(Outcome.MATCH)) == 3, "judged")


def test_a_silent_service_does_not_hold_up_what_local_lists_know(
    bench: DaemonHarness, root: Path
) -> None:
    bench.local.known.add(digest(b"known here"))
    bench.max_age = 1e9
    bench.matcher.slow = 30.0
    with bench.running():
        for number in range(30):
            (root / f"{number}").write_bytes(b"%d" % number)
            time.sleep(0.01)  # so that they are spread over several batches
        (root / "listed").write_bytes(b"known here")
        bench.wait_for(lambda: bench.casework.paths(Outcome.MATCH), "judged")
        bench.matcher.slow = 0.0


def test_a_new_list_is_asked_about_all_contents_at_once(bench: DaemonHarness, root: Path) -> None:
    for number in range(300):
        (root / f"{number}").write_bytes(b"%d" % number)
    with bench.running():
        bench.wait_for(lambda: not bench.unjudged_files(root), "looked up")
        bench.wait_until_done()
        bench.casework.files.clear()
        bench.counting.read = 0
        bench.matcher.known.add(digest(b"42"))
        bench.matcher.revision = "2"
        bench.wait_for(lambda: bench.casework.files, "found")
    (file,) = bench.casework.files
    assert (file.path, file.verdict.outcome) == (bytes(root / "42"), Outcome.MATCH)
    assert {answer.revision for answer in file.answers} == {"1", "2"}
    assert bench.counting.read == 0


def test_a_content_stays_waiting_until_what_follows_was_done(
    bench: DaemonHarness, root: Path
) -> None:
    bench.max_age = 1e9
    bench.matcher.silent = True
    bench.matcher.known.add(digest(b"known"))
    failures: list[object] = []

    def fail(found: object) -> None:
        failures.append(found)
        raise RuntimeError("a mistake of ours")

    with bench.running():
        (root / "a").write_bytes(b"known")
        bench.wait_for(bench.store.pending.count, "waiting")
        bench.wait_until_done()
        bench.casework.problem = fail
        bench.matcher.silent = False
        bench.wait_for(lambda: failures, "tried")
    assert bench.store.pending.count() == 1
    bench.casework.problem = lambda _: None
    with bench.running():
        bench.wait_for(lambda: bench.casework.paths(Outcome.MATCH), "judged")
        bench.wait_for(lambda: not bench.store.pending.count(), "done")


def test_scan_and_daemon_share_what_they_have_read(bench: DaemonHarness, root: Path) -> None:
    bench.matcher.known.add(digest(b"17"))
    scans = ScanBench(bench.state, matcher=bench.matcher)
    for number in range(400):
        (root / f"{number}").write_bytes(b"%d" % number)
    with bench.running(), bench.store.acquire_daemon_lock():
        for round_ in range(5):
            for number in range(60):
                (root / f"new {round_} {number}").write_bytes(b"%d %d" % (round_, number))
            assert scans.scan(root).summary.counts.files
        bench.wait_for(lambda: not bench.unjudged_files(root), "looked up")
        bench.wait_until_done()
        read = scans.read
        scans.scan(root)
        assert scans.read == 0
    assert read <= 700
    assert bench.casework.paths(Outcome.MATCH) == {bytes(root / "17")}, "the daemon acts on both"


def test_an_unanswered_file_is_undetermined(bench: DaemonHarness, root: Path) -> None:
    bench.max_age = 1e9
    bench.matcher.silent = True
    with bench.running():
        (root / "a").write_bytes(b"a")
        bench.wait_for(lambda: bench.casework.files, "judged")
    assert bench.casework.files[0].verdict.reason is Reason.UNANSWERED

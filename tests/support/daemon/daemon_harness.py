"""A scanner that watches real directories, in threads of this process, for tests."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from hashwacht.cases.case_opening import JudgedFile
from hashwacht.core.ports import Fingerprinter, Query
from hashwacht.core.types import Action, Answer, FileId, Outcome
from hashwacht.core.watch_events import Cause, Lane, Watch
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.daemon.scanner.runtime import Runtime
from hashwacht.daemon.scanner.scanner import Scanner
from hashwacht.daemon.scanner.watch_monitor import WatchMonitor
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.pipeline import Pipeline
from hashwacht.platform.filesystems.volumes import VOLUMES
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.settings import DaemonSettings, RootSettings
from hashwacht.storage.store import Store
from hashwacht.testing.fakes import CountingFingerprinter, KnowingMatcher
from hashwacht.watch.canary import Canary
from hashwacht.watch.inotify import InotifyWatch
from hashwacht.watch.queue import AnnouncementQueue


def digest(content: bytes) -> str:
    """Return the value by which the harness's matchers know a content."""
    return hashlib.sha256(content).hexdigest()


MAINTENANCE_INTERVAL = 0.25
"""Seconds between two runs of the watch's maintenance."""

PATIENCE = 20.0
"""Seconds to wait for an expected event."""


@dataclass
class RecordingCasework:
    """Records the verdicts and takes no action."""

    files: list[JudgedFile] = field(default_factory=list)
    problem: Callable[[JudgedFile], None] = lambda _found: None

    def apply_verdict(self, file: JudgedFile) -> Action:
        """Record the file, unless *problem* raises."""
        self.problem(file)
        self.files.append(file)
        return Action.OBSERVE if file.verdict.outcome is Outcome.MATCH else Action.ALLOW

    def open_upload_case(self, key: str) -> None:
        """Ignore the upload."""

    def retry_due(self, now: float) -> None:
        """Do nothing: no action is pending."""

    @staticmethod
    def fd_of(file: JudgedFile) -> int:
        """Return the file's descriptor."""
        assert file.fd is not None, "nothing was read"
        return file.fd

    def paths(self, outcome: Outcome) -> set[bytes]:
        """Return the paths with this outcome."""
        return {file.path for file in self.files if file.verdict.outcome is outcome}


@dataclass
class Service(KnowingMatcher):
    """A matcher that can be *slow* (seconds for each lookup) and records what it answered."""

    slow: float = 0.0
    answered: list[str] = field(default_factory=list)

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Answer as the base class does, after the delay."""
        until = time.monotonic() + self.slow
        while self.slow and time.monotonic() < until:
            time.sleep(0.01)
        if not self.silent:
            self.answered += [signal.value for question in questions for signal in question]
        return super().lookup(questions)


@dataclass
class DaemonHarness:
    """One state directory, some roots, and two matchers: a local one and one like a service.

    Scanners run one after the other.
    """

    state: Path
    roots: tuple[RootSettings, ...]
    matcher: Service = field(default_factory=lambda: Service(now=time.time()))
    local: KnowingMatcher = field(default_factory=lambda: KnowingMatcher(name="local"))
    max_age: float | None = None
    casework: RecordingCasework = field(default_factory=RecordingCasework)
    settings: DaemonSettings = field(
        default_factory=lambda: DaemonSettings(settle_time=0.05, canary_interval=1.0)
    )
    fingerprinter: Callable[[], Fingerprinter] = lambda: InProcessFingerprinter(Plan(("sha256",)))
    watch: Callable[[], Watch] = InotifyWatch
    clock: Callable[[], float] = time.time
    panel: Callable[[], MatcherSet] | None = None
    own: tuple[bytes, ...] = ()
    jobs: int = 2
    patience: float = PATIENCE

    def __post_init__(self) -> None:
        """Open the storage."""
        self.store = Store.open(self.state)
        self.counting = CountingFingerprinter(self.fingerprinter())
        self.reload: Runtime | None = None

    def parts(self) -> Runtime:
        """Build the scanner's runtime from the present configuration."""
        return Runtime(
            roots=Roots(self.roots, (), self.own),
            pipeline=Pipeline(self.counting, self.panel() if self.panel else self._matcher_set()),
            casework=self.casework,
            settings=self.settings,
            jobs=self.jobs,
        )

    def _matcher_set(self) -> MatcherSet:
        return MatcherSet(
            [ConfiguredMatcher(self.local), ConfiguredMatcher(self.matcher, self.max_age)]
        )

    @contextmanager
    def running(self) -> Iterator[Scanner]:
        """Run a scanner; stop it and check that it ended in order when the context ends."""
        queue = AnnouncementQueue(self.settings.max_queued_events)
        monitor = WatchMonitor(
            self.store,
            queue,
            self.watch(),
            lambda roots: Canary(roots, 2 * self.settings.canary_interval),
            clock=self.clock,
        )
        scanner = Scanner(
            store=self.store,
            runtime=self.parts(),
            queue=queue,
            monitor=monitor,
            clock=self.clock,
            maintenance_interval=MAINTENANCE_INTERVAL,
        )
        stop, failures = threading.Event(), list[BaseException]()

        def run() -> None:
            try:
                scanner.run(stop, self._take_reload)
            except BaseException as failure:  # noqa: BLE001  # raised again by ``run``
                failures.append(failure)

        thread, began = threading.Thread(target=run, daemon=True), time.time()
        thread.start()
        beats = self.store.gaps.load_heartbeats
        self.wait_for(lambda: failures or any(b.at >= began for b in beats().values()), "watched")
        try:
            yield scanner
        finally:
            stop.set()
            thread.join(PATIENCE)
        if failures:
            raise failures[0]
        assert not thread.is_alive(), "the scanner did not stop"

    def _take_reload(self) -> Runtime | None:
        parts, self.reload = self.reload, None
        return parts

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition; fail the test if it does not hold in time."""
        until = time.monotonic() + self.patience
        while not condition():
            assert time.monotonic() < until, f"not {what} within {self.patience:g} s"
            time.sleep(0.01)

    def wait_until_done(self, *, gaps: bool = True) -> None:
        """Wait until the journal is empty and no gap that can be closed is open."""

        def done() -> bool:
            waiting = self.waiting(Lane.UPLOAD) + self.waiting(Lane.RECONCILE)
            open_gaps = [gap for gap in self.store.gaps.load_open() if gap.ended is not None]
            return not waiting and not (gaps and open_gaps)

        self.wait_for(done, "done")

    def unjudged_files(self, root: Path) -> set[bytes]:
        """Return the files below *root* without a verdict for their present state."""
        return unjudged_files(self.store, root)

    def has_unwatched_roots(self) -> bool:
        """Return whether some root is not watched at present."""
        return any(gap.ended is None for gap in self.store.gaps.load_open())

    def causes(self) -> set[Cause]:
        """Return the causes of the latest gaps, open or not."""
        return {gap.cause for gap in self.store.gaps.load_latest(999)}

    def waiting(self, lane: Lane) -> int:
        """Return the number of waiting entries in a lane."""
        return self.store.journal.count_lane(lane)

    def key(self, content: int) -> str:
        """Return the digest of a content by its number."""
        return self.store.contents.load([content])[content].fingerprint.key

    def change(self, **changes: object) -> None:
        """Change settings for scanners that start later."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]  # by name

    def close(self) -> None:
        """Close the storage."""
        self.store.close()


def unjudged_files(store: Store, root: Path) -> set[bytes]:
    """Return the files below *root* without a verdict for their present state."""
    unjudged = set()
    with suppress(FileNotFoundError), OpenDirectory.at(bytes(root)) as directory:
        VOLUMES.examine(directory.fd)  # the daemon may be another process
    for folder, _, names in os.walk(bytes(root)):
        entries = store.files.load_directory(folder)
        for name in names:
            path = folder.rstrip(b"/") + b"/" + name
            try:
                entry, now = entries.get(name), FileId.from_stat(os.lstat(path))
            except FileNotFoundError:
                continue
            if entry is None or entry.outcome is None or not _same(entry.id, now):
                unjudged.add(path)
    return unjudged


def _same(one: FileId, other: FileId) -> bool:
    """Compare all but the change time, which is not stored if it was too recent."""
    return replace(one, ctime_ns=0) == replace(other, ctime_ns=0)

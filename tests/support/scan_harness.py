"""Scans and rechecks of real trees with one state directory and one local matcher."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hashwacht.core.ports import Fingerprinter
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.pipeline import Pipeline
from hashwacht.scan.recheck_run import Recheck
from hashwacht.scan.scan import ScanRequest, ScanRun
from hashwacht.storage.store import Store
from hashwacht.testing.fakes import CountingFingerprinter, KnowingMatcher, RememberingObserver
from hashwacht.walk.rules import ExclusionRules


@dataclass
class ScanHarness:
    """*read* counts the files that the last scan actually read; *max_age* is the matcher's."""

    state: Path
    matcher: KnowingMatcher = field(default_factory=KnowingMatcher)
    fingerprinter: Callable[[], Fingerprinter] = lambda: InProcessFingerprinter(Plan(("sha256",)))
    max_age: float | None = None
    clock: Callable[[], float] = time.time
    observer: Callable[[], RememberingObserver] = RememberingObserver
    request: ScanRequest = field(
        default_factory=lambda: ScanRequest((), ExclusionRules([]), jobs=2)
    )
    read: int = 0

    def scan(
        self,
        *roots: Path,
        full: bool = False,
        restart: bool = False,
        stop: threading.Event | None = None,
    ) -> RememberingObserver:
        """Scan these trees; return the observer with the results."""
        observer = self.observer()
        counting = CountingFingerprinter(self.fingerprinter())
        request = replace(
            self.request, roots=tuple(bytes(r) for r in roots), full=full, restart=restart
        )
        with Store.open(self.state) as store:
            ScanRun(
                store=store,
                pipeline=Pipeline(counting, self._matcher_set(), self.clock),
                request=request,
                observer=observer,
                stop=stop or threading.Event(),
                clock=self.clock,
            ).run()
        self.read = counting.read
        return observer

    def recheck(self, stop: threading.Event | None = None) -> RememberingObserver:
        """Recheck; return the observer with the results."""
        observer = self.observer()
        with Store.open(self.state) as store:
            Recheck(
                store=store,
                matcher_set=self._matcher_set(),
                observer=observer,
                stop=stop or threading.Event(),
                clock=self.clock,
            ).run()
        return observer

    def _matcher_set(self) -> MatcherSet:
        return MatcherSet([ConfiguredMatcher(self.matcher, self.max_age)])

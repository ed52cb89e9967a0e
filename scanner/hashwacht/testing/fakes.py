"""Fakes of the ports: a matcher with configured answers, an observer that records events."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hashwacht.core.ports import Fingerprinter, Query, UploadTurn
from hashwacht.core.types import Answer, Diagnostic, Fingerprint, Match, Outcome, Reason
from hashwacht.scan.progress import Progress, ScanResult, Summary

HELD = 60.0
"""Seconds that a file is held at the most."""


@dataclass
class KnowingMatcher:
    """Knows some values, writes down what it is asked, and can fall silent."""

    known: set[str] = field(default_factory=set)
    name: str = "knows"
    accepts: frozenset[str] = frozenset({"sha256"})
    revision: str = "1"
    silent: bool = False
    now: float = 1000.0
    asked: list[str] = field(default_factory=list)

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Answer by looking into *known*."""
        return [self._answer(question) for question in questions]

    def _answer(self, question: Query) -> Answer:
        self.asked += [signal.value for signal in question]
        matches = tuple(
            Match(self.name, signal, 0, "csam") for signal in question if signal.value in self.known
        )
        if self.silent:
            outcome, reason = Outcome.UNDETERMINED, Reason.UNANSWERED
            return Answer(self.name, outcome, self.now, self.revision, reason=reason)
        outcome = Outcome.MATCH if matches else Outcome.NO_MATCH
        return Answer(self.name, outcome, self.now, self.revision, matches)

    def check(self) -> Diagnostic:
        """Report that the matcher works, or that it does not answer."""
        return Diagnostic(self.name, ok=not self.silent, detail="")

    def close(self) -> None:
        """Keep everything: a fake may be used by several runs."""


class CountingFingerprinter:
    """Counts what is really read."""

    def __init__(self, inner: Fingerprinter) -> None:
        """Read with *inner*."""
        self._inner = inner
        self.read = 0
        self.recipe = inner.recipe

    @property
    def layers(self) -> Mapping[str, str]:
        """The sandbox layers of the inner one."""
        return self._inner.layers

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        """Count, and read."""
        self.read += 1
        return self._inner.fingerprint(fd, upload=upload)

    def fingerprint_small(self, fds: Sequence[int]) -> Sequence[Fingerprint | None]:
        """Count those that the inner one reads, and read them."""
        results = self._inner.fingerprint_small(fds)
        self.read += sum(result is not None for result in results)
        return results

    def open_stream(self) -> None:
        """Return no stream: every content is counted when it is complete."""

    def close(self) -> None:
        """Close the inner one."""
        self._inner.close()


class HeldFingerprinter(CountingFingerprinter):
    """Reads no file until it is let go, but those called *but* at once."""

    def __init__(self, inner: Fingerprinter, but: str = "") -> None:
        """Read with *inner*."""
        super().__init__(inner)
        self._but = but
        self.released = threading.Event()

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        """Wait, and read."""
        if Path(f"/proc/self/fd/{fd}").readlink().name != self._but:
            assert self.released.wait(HELD), "the hold was never released"
        return super().fingerprint(fd, upload=upload)

    def fingerprint_small(self, fds: Sequence[int]) -> list[Fingerprint | None]:
        """Return none, so that each is held."""
        return [None] * len(fds)


@dataclass
class RememberingObserver:
    """Records everything that a run reports."""

    results: list[ScanResult] = field(default_factory=list)
    progresses: list[Progress] = field(default_factory=list)
    resumed: bool = False
    ended: Summary | None = None

    def started(self, run: str, roots: tuple[bytes, ...], *, resumed: bool) -> None:
        """Remember how it began."""
        self.run, self.roots, self.resumed = run, roots, resumed

    def progress(self, snapshot: Progress) -> None:
        """Remember where it stood."""
        self.progresses.append(snapshot)

    def result(self, result: ScanResult) -> None:
        """Remember what was found."""
        self.results.append(result)

    def finished(self, summary: Summary) -> None:
        """Remember how it ended."""
        self.ended = summary

    @property
    def summary(self) -> Summary:
        """How it ended."""
        assert self.ended is not None, "the run has not ended"
        return self.ended

    def paths(self, outcome: Outcome) -> set[bytes]:
        """Return the paths reported with this outcome."""
        return {p for each in self.results if each.verdict.outcome is outcome for p in each.paths}

    def reasons(self) -> dict[bytes, Reason | None]:
        """Return the undetermined paths with their reasons."""
        return {
            path: each.verdict.reason
            for each in self.results
            if each.verdict.outcome is Outcome.UNDETERMINED
            for path in each.paths
        }

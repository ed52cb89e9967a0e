"""Counting a run: figures that add up, and that survive an interruption as JSON.

A directory is counted on its own and added to the run in the transaction that marks it as
done, so that a run that was killed and resumed counts every file exactly once.

Filling the report of a run from the state: what a resumed run found earlier is there too.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Self

from hashwacht import __version__
from hashwacht.core.types import Match, Outcome, Reason, Verdict
from hashwacht.core.verdict import judge
from hashwacht.matching.matcher_set import MatcherSet
from hashwacht.pipeline import Judgement
from hashwacht.scan.progress import RunCounts, ScanResult, Summary
from hashwacht.scan.report import (
    MAX_ROWS,
    DirectoryRow,
    KindRow,
    MatcherRow,
    Report,
    RunInfo,
    ThroughputSample,
)
from hashwacht.storage.runs import Run, RunState
from hashwacht.storage.store import Store


def build_report(store: Store, panel: MatcherSet, run: Run, recipe: tuple[str, ...]) -> Report:
    """Draw up the report of a run that has ended.  Reads the state, asks nobody."""
    tally = Tally.loads(run.tally)
    results = list(reportable_files(store, panel, run.roots))
    return Report(
        run=RunInfo(
            id=str(run.id),
            state=run.state,
            roots=run.roots,
            started_at=run.started,
            finished_at=run.finished,
            elapsed=tally.elapsed,
            version=__version__,
            resumed=tally.resumed,
            recipe=recipe,
        ),
        counts=tally.counts(),
        verdicts=tally.verdicts(),
        reasons=tally.reason_counts(),
        kinds=_kinds(store, run.roots),
        throughput=tally.throughput(),
        directories=tally.directory_rows(),
        matchers=tally.matcher_rows({s.matcher.name: s.matcher.revision for s in panel.matchers}),
        matches=_with(results, Outcome.MATCH),
        suppressed=tuple(each for each in results if each.verdict.suppressed),
        undetermined=_with(results, Outcome.UNDETERMINED),
    )


def _with(results: Iterable[ScanResult], outcome: Outcome) -> tuple[ScanResult, ...]:
    return tuple(each for each in results if each.verdict.outcome is outcome)


def _kinds(store: Store, roots: Iterable[bytes]) -> tuple[KindRow, ...]:
    """Count the files below the roots by what they are, the most frequent first."""
    rows = [KindRow(*row) for root in roots for row in store.reports.count_kinds(root)]
    return tuple(sorted(rows, key=lambda row: -row.files))


def reportable_files(
    store: Store, panel: MatcherSet, roots: Iterable[bytes]
) -> Iterator[ScanResult]:
    """Give every file below the roots that somebody wants to know of, as it is known now."""
    accepted = panel.accepts
    configured = {seat.matcher.name for seat in panel.matchers}
    for root in roots:
        for seen in store.reports.load_reportable_files(root, MAX_ROWS):
            if seen.content is None:
                verdict = Verdict(Outcome.UNDETERMINED, reason=seen.reason)
                yield ScanResult((seen.path,), verdict)
                continue
            content = store.contents.load([seen.content])[seen.content]
            answers = [each for each in content.answers if each.matcher in configured]
            fingerprint = content.fingerprint
            verdict = judge(fingerprint, answers, accepted)
            yield ScanResult(
                (seen.path,), verdict, fingerprint.kind, fingerprint.size, fingerprint.key
            )


SLOWEST = 20
"""Directories that a run remembers as the slowest."""

SAMPLES = 240
"""Points of the throughput curve; beyond that every second one is given up."""


@dataclass(slots=True)
class Tally:
    """The figures of a run, or of a part of it.  Mutable; one thread owns it."""

    files: int = 0
    size: int = 0
    read: int = 0
    read_bytes: int = 0
    unchanged: int = 0
    errors: int = 0
    excluded: int = 0
    lookups: int = 0
    new_matches: int = 0
    suppressed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    lists: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    matched: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    elapsed: float = 0.0
    resumed: int = 0
    slowest: list[tuple[float, str, int, int]] = field(default_factory=list)
    samples: list[tuple[float, float, float]] = field(default_factory=list)

    def count_verdict(self, verdict: Verdict) -> None:
        """Count one file with its verdict."""
        self.outcomes[verdict.outcome] += 1
        self.suppressed += bool(verdict.suppressed)
        if verdict.reason is not None:
            self.reasons[verdict.reason] += 1
        self.lists.update({_source(match) for match in verdict.matches})

    def count_read(self, size: int, seconds: float) -> None:
        """Count one file that was read."""
        self.read += 1
        self.read_bytes += size
        self.seconds += seconds

    def count_answers(self, judgement: Judgement) -> None:
        """Count what matchers said just now about one content."""
        for answer in judgement.new_answers:
            self.asked[answer.matcher] += 1
            self.matched[answer.matcher] += answer.outcome is Outcome.MATCH
            self.unanswered[answer.matcher] += answer.outcome is Outcome.UNDETERMINED
            self.lookups += 1

    def add(self, other: Self) -> None:
        """Add another part of the same run."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))
        self.slowest = heapq.nlargest(SLOWEST, [*self.slowest, *other.slowest])

    def directory(self, path: bytes) -> None:
        """Remember what this part, one directory, cost."""
        if self.seconds:
            shown = path.decode("utf-8", "surrogateescape")
            self.slowest = [(self.seconds, shown, self.read, self.read_bytes)]

    def sample(self, at: float, files_rate: float, bytes_rate: float) -> None:
        """Put a point on the throughput curve; thin it out when it grows long."""
        self.samples.append((at, files_rate, bytes_rate))
        if len(self.samples) > SAMPLES:
            self.samples = self.samples[::2]

    def counts(self) -> RunCounts:
        """Give the figures that a display shows."""
        return RunCounts(
            files=self.files,
            bytes=self.size,
            read=self.read,
            read_bytes=self.read_bytes,
            unchanged=self.unchanged,
            matches=self.outcomes[Outcome.MATCH],
            new_matches=self.new_matches,
            suppressed=self.suppressed,
            undetermined=self.outcomes[Outcome.UNDETERMINED],
            errors=self.errors,
            excluded=self.excluded,
            lookups=self.lookups,
        )

    def summary(self, run: str, state: RunState) -> Summary:
        """Say how the run ended."""
        asked, unanswered = self.asked.total(), self.unanswered.total()
        return Summary(
            run=run,
            state=state,
            elapsed=self.elapsed,
            counts=self.counts(),
            reasons=self.reason_counts(),
            lists=dict(self.lists),
            reachable=not asked or unanswered < asked,
        )

    def verdicts(self) -> dict[Outcome, int]:
        """Files by verdict."""
        return {outcome: self.outcomes[outcome] for outcome in Outcome}

    def reason_counts(self) -> dict[Reason, int]:
        """Undetermined files by reason, the most frequent first."""
        return {Reason(name): count for name, count in self.reasons.most_common()}

    def directory_rows(self) -> tuple[DirectoryRow, ...]:
        """Give the slowest directories, slowest first."""
        return tuple(
            DirectoryRow(path.encode("utf-8", "surrogateescape"), files, size, seconds)
            for seconds, path, files, size in self.slowest
        )

    def throughput(self) -> tuple[ThroughputSample, ...]:
        """Give the curve, in the order of time."""
        return tuple(ThroughputSample(*each) for each in self.samples)

    def matcher_rows(self, revisions: dict[str, str]) -> tuple[MatcherRow, ...]:
        """Give what each matcher was asked; *revisions* maps them to their state of knowledge."""
        return tuple(
            MatcherRow(name, revision, self.asked[name], self.matched[name], self.unanswered[name])
            for name, revision in revisions.items()
        )

    def dumps(self) -> str:
        """Write as JSON."""
        figures = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps(figures, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read what dumps wrote; an empty object is a tally of nothing."""
        stored: dict[str, Any] = json.loads(text)
        for name, value in stored.items():
            if name in _COUNTERS:
                stored[name] = Counter(value)
            elif isinstance(value, list):
                stored[name] = [tuple(each) for each in value]
        return cls(**stored)


def _source(match: Match) -> str:
    """Name who knows it: a matcher, and its list if it tells one."""
    return f"{match.matcher}/{match.list}" if match.list else match.matcher


_COUNTERS = (
    "outcomes",
    "reasons",
    "lists",
    "asked",
    "matched",
    "unanswered",
)
_NUMBERS = (
    "files",
    "size",
    "read",
    "read_bytes",
    "unchanged",
    "errors",
    "excluded",
    "lookups",
    "new_matches",
    "suppressed",
    "seconds",
)

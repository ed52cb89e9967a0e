"""The report of a run as one frozen value: figures, paths and answers, never content.

It is built from the storage, so it includes what an interrupted run found before it was resumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hashwacht import __version__
from hashwacht.core.types import Outcome, Reason, Verdict
from hashwacht.core.verdict import judge
from hashwacht.matching.matcher_set import MatcherSet
from hashwacht.scan.progress import RunCounts, ScanResult
from hashwacht.scan.tally import Tally
from hashwacht.storage.runs import Run, RunState
from hashwacht.storage.store import Store

MAX_ROWS = 1000
"""Rows of each table in a report; the summary counts the rest."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run.  Times are Unix seconds; *finished_at* is None while it runs."""

    id: str
    state: RunState
    roots: tuple[bytes, ...]
    started_at: float
    finished_at: float | None
    elapsed: float
    version: str
    resumed: int = 0
    recipe: tuple[str, ...] = ()
    kind: str = "scan"


@dataclass(frozen=True, slots=True)
class KindRow:
    """The files of one detected MIME type."""

    kind: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ThroughputSample:
    """Files and bytes per second, *at* so many seconds after the start."""

    at: float
    files_rate: float
    bytes_rate: float


@dataclass(frozen=True, slots=True)
class DirectoryRow:
    """The *seconds* of work on the files of one directory, without those below it."""

    path: bytes
    files: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MatcherRow:
    """The number of contents that one matcher was asked about in this run."""

    name: str
    revision: str
    asked: int
    matched: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class Report:
    """The contents of a report.  Tables hold at most MAX_ROWS rows, the largest first.

    *matches* holds results with the verdict MATCH, *suppressed* those that a known-good list set
    aside, *undetermined* the undetermined ones.
    """

    run: RunInfo
    counts: RunCounts
    verdicts: Mapping[Outcome, int]
    reasons: Mapping[Reason, int] = field(default_factory=dict)
    kinds: tuple[KindRow, ...] = ()
    throughput: tuple[ThroughputSample, ...] = ()
    directories: tuple[DirectoryRow, ...] = ()
    matchers: tuple[MatcherRow, ...] = ()
    matches: tuple[ScanResult, ...] = ()
    suppressed: tuple[ScanResult, ...] = ()
    undetermined: tuple[ScanResult, ...] = ()


def build_report(
    store: Store, matcher_set: MatcherSet, run: Run, recipe: tuple[str, ...]
) -> Report:
    """Return the report of a run that has ended.  Reads the storage and asks no matcher."""
    tally = Tally.loads(run.tally)
    kinds = [KindRow(*row) for root in run.roots for row in store.reports.count_kinds(root)]
    results = list(reportable_files(store, matcher_set, run.roots, MAX_ROWS))
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
        verdicts={outcome: tally.outcomes[outcome] for outcome in Outcome},
        reasons=tally.reason_counts(),
        kinds=tuple(sorted(kinds, key=lambda row: -row.files)),
        throughput=tuple(ThroughputSample(*sample) for sample in tally.samples),
        directories=tuple(
            DirectoryRow(path.encode("utf-8", "surrogateescape"), files, size, seconds)
            for seconds, path, files, size in tally.slowest
        ),
        matchers=_matcher_rows(tally, matcher_set),
        matches=_with_outcome(results, Outcome.MATCH),
        suppressed=tuple(result for result in results if result.verdict.suppressed),
        undetermined=_with_outcome(results, Outcome.UNDETERMINED),
    )


def _with_outcome(results: Iterable[ScanResult], outcome: Outcome) -> tuple[ScanResult, ...]:
    return tuple(result for result in results if result.verdict.outcome is outcome)


def _matcher_rows(tally: Tally, matcher_set: MatcherSet) -> tuple[MatcherRow, ...]:
    return tuple(
        MatcherRow(
            name := configured.matcher.name,
            configured.revision,
            tally.asked[name],
            tally.matched[name],
            tally.unanswered[name],
        )
        for configured in matcher_set.matchers
    )


def reportable_files(
    store: Store, matcher_set: MatcherSet, roots: Iterable[bytes], limit: int | None = None
) -> Iterator[ScanResult]:
    """Yield the files below *roots* that match, were suppressed or are undetermined now.

    At most *limit* of each of these in every root; None for all.
    """
    names = {configured.matcher.name for configured in matcher_set.matchers}
    for root in roots:
        for file in store.reports.load_reportable_files(root, -1 if limit is None else limit):
            if file.content is None:
                verdict = Verdict(Outcome.UNDETERMINED, reason=file.reason)
                yield ScanResult((file.path,), verdict)
                continue
            content = store.contents.load([file.content])[file.content]
            answers = [answer for answer in content.answers if answer.matcher in names]
            read = content.fingerprint
            verdict = judge(read, answers, matcher_set.accepts)
            yield ScanResult((file.path,), verdict, read.kind, read.size, read.key)

"""The input of a report: what one run found and how it went, as one frozen value.

No content, no picture: figures, names and answers.  The page is drawn in :mod:`hashwacht.cli`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hashwacht.core.types import Outcome, Reason
from hashwacht.scan.progress import RunCounts, ScanResult
from hashwacht.storage.runs import RunState

MAX_ROWS = 1000
"""Rows that a report carries of each table; the summary counts the rest."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Which run this was.  Times are Unix seconds; *finished_at* is None while it runs."""

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
    """The files of one sniffed MIME type."""

    kind: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ThroughputSample:
    """How fast it went in one stretch: seconds since the start, and what was done per second."""

    at: float
    files_rate: float
    bytes_rate: float


@dataclass(frozen=True, slots=True)
class DirectoryRow:
    """What one directory (without those below) cost: *seconds* of work on its files."""

    path: bytes
    files: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MatcherRow:
    """What one matcher was asked in this run, in contents."""

    name: str
    revision: str
    asked: int
    matched: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the page shows.  Tables hold at most MAX_ROWS rows, the largest first.

    *matches* holds results whose verdict is MATCH, *suppressed* those set aside by a known-good
    entry, *undetermined* the others.
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

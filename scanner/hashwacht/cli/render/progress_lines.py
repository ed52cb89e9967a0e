"""Those who watch a run for the reader of the screen, of a log, or of JSON lines.

Results go to standard output, where it stands to standard error; each is one of the observers
of :mod:`hashwacht.scan.progress`.  ``with observer(...) as watching:`` gives the terminal back
whatever happens.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import IO

from hashwacht.cli.output import emit, line
from hashwacht.cli.render.findings import has_own_line, json_type, result_lines, to_fields
from hashwacht.cli.render.summary import (
    progress_fields,
    progress_line,
    started_line,
    summary_fields,
    summary_lines,
)
from hashwacht.core.paths import to_json
from hashwacht.scan.progress import Observer, Progress, ScanResult, Summary

LOG_SECONDS = 60.0
"""Between two lines of a log: enough to see that it lives, not enough to fill the disk."""

JSON_SECONDS = 1.0
"""Between two progress objects."""


def observer(*, as_json: bool) -> AbstractContextManager[Observer]:
    """Choose who watches: JSON lines if asked for, a live display on a terminal, else a log."""
    if as_json:
        return nullcontext(JsonObserver(sys.stdout, sys.stderr))
    if sys.stderr.isatty():
        from hashwacht.cli.render.live import LiveDisplay, can_be_live

        if can_be_live(sys.stderr):
            return LiveDisplay(sys.stdout, sys.stderr)
    return nullcontext(LogObserver(sys.stdout, sys.stderr))


class LogObserver:
    """Plain lines: one a minute, one for every result, and the summary."""

    def __init__(self, results: IO[str], log: IO[str]) -> None:
        """Write results to one stream, where it stands to the other."""
        self._results, self._log = results, log
        self._next = LOG_SECONDS

    def started(self, run: str, roots: tuple[bytes, ...], *, resumed: bool) -> None:
        """Print that the run starts."""
        line(started_line(run, roots, resumed=resumed), to=self._log)
        self._log.flush()

    def progress(self, snapshot: Progress) -> None:
        """Print the progress once a minute."""
        if snapshot.elapsed >= self._next:
            self._next = snapshot.elapsed + LOG_SECONDS
            line(progress_line(snapshot), to=self._log)
            self._log.flush()

    def result(self, result: ScanResult) -> None:
        """Print a result at once."""
        for text in result_lines(result) if has_own_line(result) else ():
            line(text, to=self._results)
        self._results.flush()

    def finished(self, summary: Summary) -> None:
        """Print the summary."""
        for text in summary_lines(summary):
            line(text, to=self._results)
        self._results.flush()


class JsonObserver:
    """One versioned object a line.

    ``started`` and ``progress`` go to standard error, outcomes and ``summary`` to standard output.
    """

    def __init__(self, results: IO[str], log: IO[str]) -> None:
        """Write results to one stream, where it stands to the other."""
        self._results, self._log = results, log
        self._next = 0.0

    def started(self, run: str, roots: tuple[bytes, ...], *, resumed: bool) -> None:
        """Print that the run starts."""
        fields = {"run": run, "resumed": resumed, "roots": [to_json(root) for root in roots]}
        emit("started", fields, to=self._log)

    def progress(self, snapshot: Progress) -> None:
        """Print the progress once a second."""
        if snapshot.elapsed >= self._next:
            self._next = snapshot.elapsed + JSON_SECONDS
            emit("progress", progress_fields(snapshot), to=self._log)

    def result(self, result: ScanResult) -> None:
        """Print a result at once."""
        emit(json_type(result.verdict), to_fields(result), to=self._results)

    def finished(self, summary: Summary) -> None:
        """Print the summary."""
        emit("summary", summary_fields(summary), to=self._results)

"""What commands with a run share: progress output, stopping on a signal, and the exit code.

Results are printed on standard output, progress on standard error.  ``with observer(...) as
progress:`` restores the terminal in every case.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
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
from hashwacht.core.errors import ExitCode
from hashwacht.core.paths import to_json
from hashwacht.scan.progress import Observer, Progress, ScanResult, Summary
from hashwacht.storage.runs import RunState

LOG_SECONDS = 60.0
"""Interval of progress lines in a log."""

JSON_SECONDS = 1.0
"""Interval of progress objects."""


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Yield the event that the first SIGINT or SIGTERM sets; a second one ends the process."""
    stop = threading.Event()
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # as signal calls it
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in former:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def exit_code(summary: Summary) -> ExitCode:
    """Return the exit code of a run; see the table in :mod:`hashwacht.core.errors`."""
    counts = summary.counts
    if summary.state is RunState.INTERRUPTED:
        return ExitCode.INTERRUPTED
    if counts.matches:
        return ExitCode.MATCH
    if not summary.reachable:
        return ExitCode.UNREACHABLE
    if counts.undetermined or counts.errors:
        return ExitCode.UNDETERMINED
    return ExitCode.OK


def observer(*, as_json: bool) -> AbstractContextManager[Observer]:
    """Return the observer: JSON lines, a live display on a terminal, or log lines."""
    if as_json:
        return nullcontext(JsonObserver(sys.stdout, sys.stderr))
    if sys.stderr.isatty():
        from hashwacht.cli.render.live import LiveDisplay, can_be_live

        if can_be_live(sys.stderr):
            return LiveDisplay(sys.stdout, sys.stderr)
    return nullcontext(LogObserver(sys.stdout, sys.stderr))


class LogObserver:
    """Prints a line for every result, the progress once a minute, and the summary."""

    def __init__(self, results: IO[str], log: IO[str]) -> None:
        """Print results on one stream, progress on the other."""
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
    """Prints one versioned object per line: ``started`` and ``progress`` on the log stream."""

    def __init__(self, results: IO[str], log: IO[str]) -> None:
        """Print results on one stream, progress on the other."""
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

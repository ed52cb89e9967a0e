"""^C and SIGTERM during a run: a wish to stop that can be waited for, not an exception."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hashwacht.core.errors import ExitCode
from hashwacht.scan.progress import Summary
from hashwacht.storage.runs import RunState


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

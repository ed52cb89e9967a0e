"""An upload that a web application handed over: read, judged, kept, and the verdict given at once.

The application is not trusted with more than its own upload.  What it hands over is opened once
more, only for reading, with an offset of our own; it must be a regular file that the application
itself may read, or it could have us read what it may not.  Size and content are what is read.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from hashwacht import __version__
from hashwacht.core.errors import Interrupted, StateError
from hashwacht.core.types import Fingerprint, Outcome, Reason, Verdict
from hashwacht.core.upload_context import Circumstances
from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.counters import Counting
from hashwacht.daemon.scanner.judge import Verdicts, is_waiting
from hashwacht.daemon.scanner.runtime import Current, Parts
from hashwacht.matching.matcher_set import Request
from hashwacht.pipeline import judge_all
from hashwacht.platform.safe_open import stable, unchanged
from hashwacht.storage.pending import Waiting
from hashwacht.uploads.backend import Checked, undetermined
from hashwacht.uploads.exchange import reopened
from hashwacht.uploads.local import State, answered
from hashwacht.uploads.partial import PartialUploads
from hashwacht.uploads.protocol import Check, Described

_log = logging.getLogger(__name__)

_READABLE = (os.O_RDONLY, os.O_RDWR)


@dataclass(frozen=True, slots=True)
class Means:
    """What the desk works with; *most* says how many bytes (now) a file may have."""

    state: State
    partial: PartialUploads
    current: Current
    verdicts: Verdicts
    counting: Counting
    most: Callable[[], int]


class ReceptionDesk:
    """Answers what applications ask.  Thread-safe."""

    def __init__(self, means: Means, clock: Callable[[], float] = time.time) -> None:
        """Once ``closing`` is set no answer counts any more.  *clock* gives Unix time."""
        self._means, self._clock = means, clock
        self.closing = threading.Event()

    def describe(self) -> Described:
        """Say who is here."""
        return Described(__version__, self._means.most())

    def note(self, protocol: str) -> None:
        """Note that files come in parts.  Raises StateError."""
        self._means.partial.note(protocol)

    def check(self, given: int, question: Check, user: int) -> Checked:
        """Give the verdict on the open file *given* (it stays open), which *user* handed over.

        Raises Interrupted if the daemon is being stopped: whoever waits asks the next one.
        """
        came = self._clock()
        told = question.told and replace(question.told, handed_by=user)
        checked = answered(lambda: self._check(given, told, private=question.private))
        if self.closing.is_set():
            raise Interrupted("the daemon was stopped while an upload was checked")
        delay = self._clock() - came
        self._means.counting.judged(checked.outcome, checked.size, delay)
        self._means.counting.handed()
        return checked

    def settle(self, checked: Checked) -> None:
        """Let follow what follows from a verdict that was given: nobody waits for that."""
        if checked.outcome is Outcome.MATCH and checked.kept:
            with self._means.current.using() as parts:
                self._means.verdicts.tell_upload(parts, checked.key)

    def refuse(self, user: int) -> None:
        """Note that *user* came once too often at a time."""
        _log.warning("user %d hands over too many uploads at once", user)
        self._means.counting.refused()

    def _check(self, given: int, told: Circumstances | None, *, private: bool) -> Checked:
        problem = self._refused(given)
        if problem is not None:
            return problem
        fd = reopened(given)
        try:
            with self._means.current.using() as parts:
                found = _read(fd, parts, private=private)
                verdict, kept = self._judged(parts, found, told)
        finally:
            os.close(fd)
        return Checked(verdict, found.key, found.kind, found.size, kept)

    def _refused(self, given: int) -> Checked | None:
        """Say why a descriptor is not read, if it is not."""
        flags: int = fcntl.fcntl(given, fcntl.F_GETFL)
        if flags & os.O_PATH or flags & os.O_ACCMODE not in _READABLE:
            return undetermined(Reason.UNREADABLE, "it was not handed over for reading")
        seen, most = os.fstat(given), self._means.most()
        if not stat.S_ISREG(seen.st_mode):
            return undetermined(Reason.UNREADABLE, "not a regular file")
        if seen.st_size > most:
            return undetermined(Reason.OVER_LIMIT, f"more than {most} bytes")
        return None

    def _judged(
        self, parts: Parts, found: Fingerprint, told: Circumstances | None
    ) -> tuple[Verdict, bool]:
        """Give the verdict, and say if it is kept; a state that fails changes no verdict."""
        try:
            return self._kept(parts, found, told)
        except StateError as error:
            _log.error("an upload cannot be kept: %s", error.message)
        muted = self._means.verdicts.hearing.silent()
        panel = parts.pipeline.panel
        return judge_all(panel, [Request(found)], self._clock(), muted)[0].verdict, False

    def _kept(
        self, parts: Parts, found: Fingerprint, told: Circumstances | None
    ) -> tuple[Verdict, bool]:
        """Keep the fingerprint, ask, keep what was said; who does not answer is asked again.

        What was told is written down before the verdict, so that no crash leaves a match of
        which nobody knows whose it is.
        """
        store, verdicts, now = self._means.state.store, self._means.verdicts, self._clock()
        with store.transaction():
            number = store.contents.add([found], now)[found.key]
        judged = verdicts.judge_now(parts, [number])
        if self.closing.is_set():  # matchers are being closed
            raise Interrupted("the daemon was stopped while matchers were asked")
        verdict = judged[number].now.verdict
        counts = verdict.outcome is not Outcome.NO_MATCH
        if counts and told is not None:
            self._means.state.uploads.add(found.key, told)
        waits = is_waiting(judged[number])
        waiting = [Waiting(number, Lane.UPLOAD, now, "", b"")] if waits else []
        verdicts.keep(parts, judged, waiting)
        return verdict, counts


def _read(fd: int, parts: Parts, *, private: bool) -> Fingerprint:
    """Read a file, in the line of what was handed in.  Raises OSError, Changed, WorkerError."""
    read = parts.pipeline.fingerprint_handed
    taken = unchanged if private else stable
    return taken(fd, read)[1]

"""Where the work on an upload is done: one port, and the side of it that is in this process.

A web application hands over an open file and what the request told.  Here, threads wait while
worker processes read and decode; a :class:`Workplace` that hands the descriptor over a Unix
socket to the daemon, so that credentials and decoders stay out of the application, fits the same
port.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from hashwacht.errors import StateError, WorkerError
from hashwacht.files import Changed
from hashwacht.pipeline import Judgement, Pipeline
from hashwacht.ports import Ahead
from hashwacht.state.contents import Decision
from hashwacht.state.store import Store
from hashwacht.types import Match, Outcome, Reason, Verdict
from hashwacht.uploads import Circumstances, Uploads

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of one content: the public result.

    *key* is its SHA-256 (64 hex digits) and *kind* its sniffed MIME type, both empty if it could
    not be read; *size* is in bytes.  *kept*: it is in the state, so that ``hashwacht recheck``
    asks again.
    """

    verdict: Verdict
    key: str = ""
    kind: str = ""
    size: int = 0
    kept: bool = False

    @property
    def outcome(self) -> Outcome:
        """MATCH, NO_MATCH or UNDETERMINED."""
        return self.verdict.outcome

    @property
    def matches(self) -> tuple[Match, ...]:
        """Who knows it, and from which list."""
        return self.verdict.matches

    @property
    def reason(self) -> Reason | None:
        """Why it is undetermined."""
        return self.verdict.reason


def undetermined(reason: Reason, detail: str) -> Checked:
    """Make the result for a content that nobody could ask about."""
    return Checked(Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail))


class Workplace(Protocol):
    """Takes an open file all the way.  Thread-safe."""

    def check(self, fd: int, told: Circumstances | None, *, private: bool) -> Checked:
        """Give the verdict on *fd*, a regular file open for reading at any offset.

        *private*: nobody else can write to it, so it need not be watched for changes.  What
        cannot be read or asked is UNDETERMINED, never an exception.  Matches and undetermined
        contents are kept with what was *told*.
        """

    def close(self) -> None:
        """Give everything back."""


@runtime_checkable
class WorksAhead(Protocol):
    """What a Workplace can do on top that may begin with a content that is still coming in."""

    def read_ahead(self) -> Ahead | None:
        """Begin with one; None if it is taken when it is complete.  Raises HashwachtError."""

    def complete(self, ahead: Ahead, kept: int | None, told: Circumstances | None) -> Checked:
        """Do what ``check`` does with one that was read *ahead*, and *kept* if that was wanted."""


@dataclass(frozen=True, slots=True)
class State:
    """Where matches and undetermined contents are kept."""

    store: Store
    uploads: Uploads


@dataclass(frozen=True, slots=True)
class InThisProcess:
    """A Workplace that is a pipeline in this very process.  Without *state* nothing is kept."""

    pipeline: Pipeline
    state: State | None = None
    clock: Callable[[], float] = field(default=time.time)

    def check(self, fd: int, told: Circumstances | None, *, private: bool) -> Checked:
        """Fingerprint, match, decide; keep what is no NO_MATCH."""
        take = self.pipeline.check_private if private else self.pipeline.check
        return self._checked(lambda: take(fd), told)

    def read_ahead(self) -> Ahead | None:
        """Begin with a content that is still coming in.  Raises HashwachtError."""
        return self.pipeline.read_ahead()

    def complete(self, ahead: Ahead, kept: int | None, told: Circumstances | None) -> Checked:
        """Go on as ``check`` does."""
        return self._checked(lambda: self.pipeline.check_ahead(ahead, kept), told)

    def _checked(self, take: Callable[[], Judgement], told: Circumstances | None) -> Checked:
        try:
            found = take()
        except Changed as error:
            return undetermined(Reason.CHANGED, error.message)
        except WorkerError as error:
            return undetermined(Reason.WORKER_DIED, error.message)
        except OSError as error:
            return undetermined(Reason.UNREADABLE, error.strerror or "cannot be read")
        of = found.fingerprint
        return Checked(found.verdict, of.key, of.kind, of.size, self._kept(found, told))

    def _kept(self, found: Judgement, told: Circumstances | None) -> bool:
        """Keep it if anybody will want to know; a state that fails changes no verdict."""
        if self.state is None or found.verdict.outcome is Outcome.NO_MATCH:
            return False
        try:
            if told is not None:
                self.state.uploads.add(found.fingerprint.key, told)
            self._store(self.state.store, found)
        except StateError as error:
            _log.error("a content cannot be kept for a recheck: %s", error.message)
            return False
        return True

    def _store(self, store: Store, found: Judgement) -> None:
        epoch = store.epochs.of(self.pipeline.panel.epoch)
        key = found.fingerprint.key
        with store.transaction():
            number = store.contents.add([found.fingerprint], self.clock())[key]
            store.answers.put((number, answer) for answer in found.fresh)
            store.contents.decide([Decision(number, found.verdict, epoch, found.asked_at)])

    def close(self) -> None:
        """End the workers, close matchers and state."""
        self.pipeline.close()
        if self.state is not None:
            self.state.store.close()

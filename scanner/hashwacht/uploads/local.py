"""The workplace in this very process: threads wait while worker processes read and decode."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hashwacht.core.errors import StateError, WorkerError
from hashwacht.core.ports import Ahead
from hashwacht.core.types import Outcome, Reason
from hashwacht.core.upload_context import Circumstances, Uploads
from hashwacht.pipeline import Judgement, Pipeline
from hashwacht.platform.safe_open import Changed
from hashwacht.storage.contents import Decision
from hashwacht.storage.store import Store
from hashwacht.uploads.backend import Checked, undetermined

_log = logging.getLogger(__name__)


def answered(work: Callable[[], Checked]) -> Checked:
    """Give the verdict that *work* gives; what keeps it from one is an answer as well (Law 2)."""
    try:
        return work()
    except Changed as error:
        return undetermined(Reason.CHANGED, error.message)
    except WorkerError as error:
        return undetermined(Reason.WORKER_DIED, error.message)
    except OSError as error:
        return undetermined(Reason.UNREADABLE, error.strerror or "cannot be read")


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
        return answered(lambda: self._checked(take(fd), told))

    def read_ahead(self) -> Ahead | None:
        """Begin with a content that is still coming in.  Raises HashwachtError."""
        return self.pipeline.read_ahead()

    def complete(self, ahead: Ahead, kept: int | None, told: Circumstances | None) -> Checked:
        """Go on as ``check`` does."""
        return answered(lambda: self._checked(self.pipeline.check_ahead(ahead, kept), told))

    def _checked(self, found: Judgement, told: Circumstances | None) -> Checked:
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

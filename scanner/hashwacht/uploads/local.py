"""The workplace in this very process: threads wait while worker processes read and decode."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hashwacht.core.errors import StorageError, WorkerError
from hashwacht.core.ports import StreamHasher
from hashwacht.core.types import Outcome, Reason
from hashwacht.core.upload_context import UploadContext, UploadContextStore
from hashwacht.engine.judge import ContentJudge
from hashwacht.pipeline import Judgement, Pipeline
from hashwacht.platform.safe_open import FileChanged
from hashwacht.storage.store import Store
from hashwacht.uploads.backend import CheckResult, undetermined_result

_log = logging.getLogger(__name__)


def undetermined_on_error(work: Callable[[], CheckResult]) -> CheckResult:
    """Give the verdict that *work* gives; what keeps it from one is an answer as well (Law 2)."""
    try:
        return work()
    except FileChanged as error:
        return undetermined_result(Reason.CHANGED, error.message)
    except WorkerError as error:
        return undetermined_result(Reason.WORKER_DIED, error.message)
    except OSError as error:
        return undetermined_result(Reason.UNREADABLE, error.strerror or "cannot be read")


@dataclass(frozen=True, slots=True)
class ResultStorage:
    """Where matches and undetermined contents are kept."""

    store: Store
    uploads: UploadContextStore


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """A Workplace that is a pipeline in this very process.  Without *state* nothing is kept."""

    pipeline: Pipeline
    state: ResultStorage | None = None
    clock: Callable[[], float] = field(default=time.time)

    def check(self, fd: int, context: UploadContext | None, *, private: bool) -> CheckResult:
        """Fingerprint, match, decide; keep what is no NO_MATCH."""
        take = self.pipeline.check_private if private else self.pipeline.check
        return undetermined_on_error(lambda: self._checked(take(fd), context))

    def open_stream(self) -> StreamHasher | None:
        """Begin with a content that is still coming in.  Raises HashwachtError."""
        return self.pipeline.open_stream()

    def check_stream(
        self, ahead: StreamHasher, kept: int | None, context: UploadContext | None
    ) -> CheckResult:
        """Go on as ``check`` does."""
        return undetermined_on_error(
            lambda: self._checked(self.pipeline.check_stream(ahead, kept), context)
        )

    def _checked(self, found: Judgement, context: UploadContext | None) -> CheckResult:
        of = found.fingerprint
        return CheckResult(found.verdict, of.key, of.kind, of.size, self._kept(found, context))

    def _kept(self, found: Judgement, context: UploadContext | None) -> bool:
        """Keep it if anybody will want to know; a state that fails changes no verdict."""
        if self.state is None or found.verdict.outcome is Outcome.NO_MATCH:
            return False
        try:
            if context is not None:
                self.state.uploads.record(found.fingerprint.key, context)
            judge = ContentJudge(self.state.store, self.clock)
            judge.record_new(found, self.pipeline.matcher_set.knowledge_id)
        except StorageError as error:
            _log.error("a content cannot be kept for a recheck: %s", error.message)
            return False
        return True

    def close(self) -> None:
        """End the workers, close matchers and state."""
        self.pipeline.close()
        if self.state is not None:
            self.state.store.close()

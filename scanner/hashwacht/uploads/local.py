"""The backend in the same process: its threads wait while worker processes read and decode."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from hashwacht.core.errors import StorageError
from hashwacht.core.ports import StreamHasher
from hashwacht.core.types import Outcome
from hashwacht.core.upload_context import UploadContext, client_of
from hashwacht.engine.judge import ContentJudge
from hashwacht.pipeline import Judgement, Pipeline
from hashwacht.storage.store import Store
from hashwacht.storage.uploads import UploadQuota
from hashwacht.uploads.backend import CheckResult, undetermined_on_error

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ResultStorage:
    """The storage for matches and undetermined contents."""

    store: Store
    quota: UploadQuota = field(default_factory=UploadQuota)


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """A CheckBackend that is a pipeline.  Without *state* nothing is recorded."""

    pipeline: Pipeline
    state: ResultStorage | None = None
    clock: Callable[[], float] = field(default=time.time)

    def check(self, fd: int, context: UploadContext | None, *, private: bool) -> CheckResult:
        """Return the verdict on *fd*; record it unless it is NO_MATCH."""
        check = self.pipeline.check_private if private else self.pipeline.check
        client = client_of(context)
        return undetermined_on_error(lambda: self._result(check(fd, client), context))

    def open_stream(self) -> StreamHasher | None:
        """Return a hasher for a content that is still arriving.  Raises HashwachtError."""
        return self.pipeline.open_stream()

    def check_stream(
        self,
        ahead: StreamHasher,
        kept: int | None,
        context: UploadContext | None,
        *,
        decodes: bool = True,
    ) -> CheckResult:
        """Return the verdict on what *ahead* has read, as ``check`` does."""
        check = partial(self.pipeline.check_stream, decodes=decodes)
        client = client_of(context)
        return undetermined_on_error(lambda: self._result(check(ahead, kept, client), context))

    def _result(self, judgement: Judgement, context: UploadContext | None) -> CheckResult:
        content = judgement.fingerprint
        recorded = self._record(judgement, context)
        return CheckResult(judgement.verdict, content.key, content.kind, content.size, recorded)

    def _record(self, judgement: Judgement, context: UploadContext | None) -> bool:
        """Record a match or an undetermined content; return False if the storage fails."""
        if self.state is None or judgement.verdict.outcome is Outcome.NO_MATCH:
            return False
        try:
            store, outcome = self.state.store, judgement.verdict.outcome
            with store.transaction():
                judge = ContentJudge(store, self.clock)
                judge.record_new(judgement, self.pipeline.matcher_set.knowledge_id)
                key, now = judgement.fingerprint.key, self.clock()
                store.uploads.record(key, context, outcome, now, self.state.quota)
        except StorageError as error:
            _log.error("a content cannot be recorded for a recheck: %s", error.message)
            return False
        return True

    def close(self) -> None:
        """Stop the workers; close matchers and storage."""
        self.pipeline.close()
        if self.state is not None:
            self.state.store.close()

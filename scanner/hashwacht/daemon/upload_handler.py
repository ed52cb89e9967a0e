"""Checks an upload that a web application sent: read, match, record, and reply at once.

An application is trusted with its own upload only.  The descriptor that it sends is reopened
read-only, with a file offset of the daemon's own.  It must be a regular file that the application
opened for reading; otherwise the application could have the daemon read a file that it may not.
The gateway, recognised by its user, also states for which user it asks, and the event number that
this user is shown.
Size and content are those of the bytes read; a file with more bytes than its size is CHANGED.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial

from hashwacht.core.errors import Interrupted, StorageError
from hashwacht.core.ports import UploadTurn
from hashwacht.core.types import Fingerprint, Outcome, Reason, Verdict
from hashwacht.core.upload_context import UploadContext, client_of
from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.runtime import Runtime
from hashwacht.daemon.scanner.scanner import Scanner
from hashwacht.engine.record import record_fingerprints
from hashwacht.matching.matcher_set import EarlierAnswers, LookupRequest
from hashwacht.pipeline import DigestsFirst, Judgement, judge_all
from hashwacht.platform.safe_open import read_consistent, read_once, reopen_read_only
from hashwacht.storage.journal import PendingContent
from hashwacht.uploads.backend import (
    CheckResult,
    PartialUploadLog,
    undetermined_on_error,
    undetermined_result,
)
from hashwacht.uploads.local import ResultStorage
from hashwacht.uploads.protocol import UploadCheckRequest

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Upload:
    """A content, where it came from, and the answers that it has already."""

    fingerprint: Fingerprint
    context: UploadContext | None
    earlier: EarlierAnswers | None


class UploadHandler:
    """Handles the requests of web applications.  Thread-safe."""

    def __init__(
        self,
        scanner: Scanner,
        storage: ResultStorage,
        partial_uploads: PartialUploadLog,
        max_file_size: Callable[[], int],
        gateway_uids: Callable[[], Collection[int]] = lambda: (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*max_file_size* returns the current limit in bytes, *gateway_uids* the gateway's users.

        After ``closing`` is set no result counts any more.
        """
        self._scanner, self._storage, self._partial_uploads = scanner, storage, partial_uploads
        self._max_file_size, self._gateway_uids = max_file_size, gateway_uids
        self._clock = clock
        self.closing = threading.Event()

    def record_partial_upload(self, protocol: str) -> None:
        """Record that files arrive in parts by *protocol*.  Raises StorageError."""
        self._partial_uploads.record(protocol)

    def check(self, fd: int, request: UploadCheckRequest, uid: int) -> CheckResult:
        """Check the open file *fd* (it stays open) that the user *uid* sent.

        Raises Interrupted if the daemon is stopping: the application asks the next one.
        """
        context = request.context
        if context is not None:
            context = self._with_submitter(context, uid)
        return self.check_file(fd, context, private=request.private)

    def check_file(self, fd: int, context: UploadContext | None, *, private: bool) -> CheckResult:
        """Check an open file (it stays open) with a context that is believed.

        Raises Interrupted.
        """
        started = self._clock()
        result = undetermined_on_error(lambda: self._check(fd, context, private=private))
        if self.closing.is_set():
            raise Interrupted("the daemon was stopped while an upload was checked")
        self._scanner.counters.count_verdict(result.outcome, result.size, self._clock() - started)
        self._scanner.counters.count_upload()
        return result

    def apply(self, result: CheckResult) -> None:
        """Open a case for a match; the application has its reply already."""
        if result.outcome is Outcome.MATCH and result.recorded:
            with self._scanner.runtime.borrow() as runtime:
                self._scanner.verdicts.apply_to_upload(runtime, result.key)

    def count_refused(self, uid: int) -> None:
        """Count a connection over the limit."""
        _log.warning("user %d has too many connections to the upload socket", uid)
        self._scanner.counters.count_refused_connection()

    def _check(self, fd: int, context: UploadContext | None, *, private: bool) -> CheckResult:
        if (refusal := self._refuse(fd)) is not None:
            self._scanner.counters.count_refused_upload()
            return refusal
        own_fd = reopen_read_only(fd)
        try:
            with self._scanner.runtime.borrow() as runtime:
                first = self._digests_first(runtime, client_of(context))
                fingerprint = _read(own_fd, runtime, first.turn, private=private)
                upload = _Upload(fingerprint, context, first.earlier)
                verdict, recorded = self._judge(runtime, upload)
        finally:
            os.close(own_fd)
        return CheckResult(verdict, fingerprint.key, fingerprint.kind, fingerprint.size, recorded)

    def is_gateway(self, uid: int) -> bool:
        """Return whether a user may state for whom it asks."""
        return uid in self._gateway_uids()

    def _with_submitter(self, context: UploadContext, uid: int) -> UploadContext:
        """Return the context with the user that the kernel, or the gateway, reports."""
        if not self.is_gateway(uid):
            return replace(context, submitter_uid=uid, event="")
        return context if context.submitter_uid is not None else replace(context, submitter_uid=uid)

    def _refuse(self, fd: int) -> CheckResult | None:
        """Return the result for a descriptor that must not be read, None if it may."""
        flags: int = fcntl.fcntl(fd, fcntl.F_GETFL)
        if flags & os.O_PATH or flags & os.O_ACCMODE not in {os.O_RDONLY, os.O_RDWR}:
            return undetermined_result(Reason.UNREADABLE, "the file was not opened for reading")
        status, limit = os.fstat(fd), self._max_file_size()
        if not stat.S_ISREG(status.st_mode):
            return undetermined_result(Reason.UNREADABLE, "not a regular file")
        if status.st_size > limit:
            return undetermined_result(Reason.OVER_LIMIT, f"more than {limit} bytes")
        return None

    def _digests_first(self, runtime: Runtime, client: str) -> DigestsFirst:
        """Return what judges the digests of an upload, with the answers that are stored."""
        contents, verdicts = self._storage.store.contents, self._scanner.verdicts

        def judge(request: LookupRequest) -> Judgement:
            ids = contents.load_ids([request.fingerprint.key])
            answers = [answer for c in contents.load(ids.values()).values() for answer in c.answers]
            return verdicts.judge_digests(runtime, replace(request, answers=tuple(answers)))

        return DigestsFirst(judge, client)

    def _judge(self, runtime: Runtime, upload: _Upload) -> tuple[Verdict, bool]:
        """Return the verdict and whether it is recorded; a storage error changes no verdict."""
        try:
            return self._record(runtime, upload)
        except StorageError as error:
            _log.error("cannot record an upload: %s", error.message)
        unavailable = self._scanner.verdicts.matcher_health.failing()
        requests = [LookupRequest.from_fingerprint(upload.fingerprint, upload.earlier)]
        (judgement,) = judge_all(runtime.pipeline.matcher_set, requests, self._clock(), unavailable)
        return judgement.verdict, False

    def _record(self, runtime: Runtime, upload: _Upload) -> tuple[Verdict, bool]:
        """Record the upload and judge it."""
        if (verdict := self._record_no_match(runtime, upload)) is not None:
            return verdict, False
        return self._record_first(runtime, upload)

    def _record_no_match(self, runtime: Runtime, upload: _Upload) -> Verdict | None:
        """Record a new content without a match in one transaction; None if it is another one.

        No service is asked: while one is waited for, the context must be recorded.  An archive is
        another one: its members are judged with what is stored of them.
        """
        if upload.fingerprint.members:
            return None
        store, verdicts, key = self._storage.store, self._scanner.verdicts, upload.fingerprint.key
        knowledge_id = runtime.pipeline.matcher_set.knowledge_id
        request = LookupRequest(upload.fingerprint, earlier=upload.earlier)
        judgement = verdicts.judge_without_services(runtime, request)
        if judgement.verdict.outcome is not Outcome.NO_MATCH:
            return None
        if self.closing.is_set():  # the matchers are being closed
            raise Interrupted("the daemon was stopped while matchers were asked")
        with store.transaction():
            if store.contents.load_ids([key]):
                return None
            verdicts.record_new(judgement, knowledge_id)
            now, quota = self._clock(), self._storage.quota
            store.uploads.record(key, upload.context, Outcome.NO_MATCH, now, quota)
        return judgement.verdict

    def _record_first(self, runtime: Runtime, upload: _Upload) -> tuple[Verdict, bool]:
        """Record the fingerprint, judge it, record the answers; pending ones are retried.

        The context is recorded with the fingerprint, and removed if there is no match.
        """
        store, verdicts, now = self._storage.store, self._scanner.verdicts, self._clock()
        key, context = upload.fingerprint.key, upload.context
        with store.transaction():  # no crash leaves a match without the data of its upload
            stored = record_fingerprints(store, [upload.fingerprint], now)
            content = stored[key]
            quota, unknown = self._storage.quota, Outcome.UNDETERMINED
            store.uploads.record(key, context, unknown, now, quota)
        earlier = {} if upload.earlier is None else {content.id: upload.earlier}
        loaded = {each.id: each for each in stored.values()}
        judged = verdicts.judge_now(runtime, [content.id], loaded, earlier)
        if self.closing.is_set():  # the matchers are being closed
            raise Interrupted("the daemon was stopped while matchers were asked")
        verdict = judged[content.id].now.verdict
        keeps_context = verdict.outcome is not Outcome.NO_MATCH
        pending = [PendingContent(content.id, Lane.UPLOAD, now, "", b"")]
        with store.transaction():
            verdicts.record(judged, pending if judged[content.id].is_pending else [])
            store.uploads.record_outcome(key, verdict.outcome)
        return verdict, keeps_context


def _read(fd: int, runtime: Runtime, turn: UploadTurn, *, private: bool) -> Fingerprint:
    """Hash a file in the workers' upload lane.  Raises OSError, Changed, WorkerError."""
    read = read_once if private else read_consistent
    return read(fd, partial(runtime.pipeline.fingerprint, upload=turn))[1]

"""What only the gateway asks of the scanner: its state, files by their path, signals of clients."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from hashwacht import __version__
from hashwacht.core.gateway_report import GatewayReport
from hashwacht.core.paths import escape_path
from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Fingerprint, Outcome, Reason, Signal, Skip
from hashwacht.core.upload_context import UploadContext
from hashwacht.daemon.path_checks import PathChecks, PathIncomplete, PathResult
from hashwacht.daemon.revision import RevisionCounter
from hashwacht.daemon.scanner.runtime import Runtime
from hashwacht.daemon.scanner.scanner import Scanner
from hashwacht.daemon.upload_handler import UploadHandler
from hashwacht.matching.matcher_set import LookupRequest, MatcherSet
from hashwacht.settings import Settings
from hashwacht.uploads.backend import CheckResult
from hashwacht.uploads.protocol import (
    DescribeDaemonReply,
    GatewayReportRequest,
    LookupContent,
    LookupVerdict,
    PathCheckRequest,
    PathEndReply,
    PathFileReply,
    SignalsLookupReply,
    SignalsLookupRequest,
    UploadCheckReply,
    UploadFailureReply,
)

OUTAGE_MEMORY = 60.0
"""Seconds after which a matcher that failed counts as able again, so that it is asked."""

_NOT_PERMITTED = UploadFailureReply("only the gateway may request this")


class GatewayRequests:
    """Handles these requests.  Thread-safe."""

    def __init__(
        self,
        scanner: Scanner,
        handler: UploadHandler,
        settings: Callable[[], Settings],
        revision: RevisionCounter,
    ) -> None:
        """Call *settings* for the current configuration."""
        self._scanner, self._handler = scanner, handler
        self._settings, self._revision = settings, revision
        self.report: GatewayReport | None = None

    def record_report(
        self, request: GatewayReportRequest, uid: int
    ) -> DescribeDaemonReply | UploadFailureReply:
        """Keep what the gateway reports, for the status, and describe the scanner."""
        if not self._handler.is_gateway(uid):
            return _NOT_PERMITTED
        self.report = GatewayReport(time.time(), request.fronts)
        return self.describe()

    def describe(self) -> DescribeDaemonReply:
        """Return version, limit and state of the scanner."""
        with self._scanner.runtime.borrow() as runtime:
            problem = self._problem(runtime)
            revision = self._revision.current(runtime.pipeline.matcher_set.knowledge_id)
        limit = self._settings().uploads.max_file_size
        return DescribeDaemonReply(__version__, limit, problem, revision)

    def _problem(self, runtime: Runtime) -> str:
        """Return why no content can get a verdict now; empty if one can."""
        matchers = [each.matcher for each in runtime.pipeline.matcher_set.matchers]
        if not any(matcher.accepts for matcher in matchers):
            return "there is no hash list, and no matching service is configured"
        names = [matcher.name for matcher in matchers if matcher.accepts]
        recent = time.time() - OUTAGE_MEMORY
        health = self._scanner.verdicts.matcher_health.get_all(names)
        failed = [each for each in health if each.problem and (each.last_failure or 0) > recent]
        return "" if len(failed) < len(names) else f"no matcher answers: {failed[0].problem}"

    def lookup(
        self, request: SignalsLookupRequest, uid: int
    ) -> SignalsLookupReply | UploadFailureReply:
        """Return a verdict on each content; nothing is recorded."""
        if not self._handler.is_gateway(uid):
            return _NOT_PERMITTED
        with self._scanner.runtime.borrow() as runtime:
            matchers = runtime.pipeline.matcher_set
            requests = [
                LookupRequest(_fingerprint(content, matchers)) for content in request.contents
            ]
            judgements = self._scanner.verdicts.judge_signals(runtime, requests)
        verdicts = (LookupVerdict.from_verdict(judgement.verdict) for judgement in judgements)
        return SignalsLookupReply(tuple(verdicts))

    def check_path(
        self, request: PathCheckRequest, uid: int, send: Callable[[PathFileReply], None]
    ) -> PathEndReply | UploadFailureReply:
        """Check the files below a path, *send* what was found, and return the last reply.

        Of files without a match only a single one, which was asked for by its name, is reported.
        """
        if not self._handler.is_gateway(uid):
            return _NOT_PERMITTED
        events: list[str] = []

        def check(fd: int, path: bytes) -> CheckResult:
            event = secrets.token_hex(4)
            events.append(event)
            received_at = datetime.now(UTC).isoformat(timespec="seconds")
            context = UploadContext(
                received_at, path=escape_path(path), submitter_uid=request.uid, event=event
            )
            return self._handler.check_file(fd, context, private=False)

        matches: list[CheckResult] = []
        try:
            for file in PathChecks(request, self._permitted(), check).run():
                event = events[-1] if file.result is not None else ""
                if (reply := _file_reply(file, event, request.path)) is not None:
                    send(reply)
                if file.result is not None and file.result.outcome is Outcome.MATCH:
                    matches.append(file.result)
                    if not request.everything:
                        break
        except PathIncomplete:
            return PathEndReply(is_complete=False)
        finally:
            for result in matches:
                self._handler.apply(result)
        return PathEndReply(is_complete=True)

    def _permitted(self) -> Sequence[bytes]:
        """Return the directories below which files may be checked by their path."""
        settings = self._settings()
        roots = (os.fsencode(root.directory) for root in settings.roots)
        return [*roots, *map(os.fsencode, settings.gateway.clamd.paths)]


def _file_reply(file: PathResult, event: str, asked: bytes) -> PathFileReply | None:
    """Return the reply about a file, None for one of many that has no match."""
    if file.result is None:
        return PathFileReply(file.path, "", None, file.problem)
    if file.result.outcome is Outcome.NO_MATCH and file.path != asked:
        return None
    return PathFileReply(file.path, event, UploadCheckReply.from_result(file.result))


def _fingerprint(content: LookupContent, matcher_set: MatcherSet) -> Fingerprint:
    """Return the fingerprint that a client computed.

    What it lacks is skipped, unless no list and no service knows contents by it.  A content without
    a media type may be a picture.
    """
    signals = tuple(Signal(*signal) for signal in content.signals)
    kind = content.kind or "image/unknown"
    is_picture = kind.startswith("image/")
    skipped = tuple(
        Skip(name, Reason.NOT_COMPUTED, "the client sent none")
        for name in sorted(matcher_set.listed_types - {signal.type for signal in signals})
        if is_picture or name not in BUILT_IN or not BUILT_IN[name].perceptual
    )
    return Fingerprint("", 0, kind, tuple(sorted(matcher_set.accepts)), signals, skipped)

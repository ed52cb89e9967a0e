"""The messages on the daemon's socket for uploads.

An application sends one request on a connection.  An UploadCheckRequest comes with one open
descriptor and has two replies: AcceptedReply at once, which shows that the daemon works, and
UploadCheckReply with the verdict.  A PathCheckRequest of the gateway is accepted as well; any
number of PathFileReply follow, and PathEndReply.  Everything else ends the connection.
"""

from __future__ import annotations

from typing import Annotated, Self

from msgspec import Meta

from hashwacht.core.errors import SignalError
from hashwacht.core.gateway_report import MAX_FRONTS, FrontReport
from hashwacht.core.signals import BUILT_IN, TextSignalType
from hashwacht.core.types import Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.ipc.codec import MAX_LINE_LENGTH, Message, MessageDecoder, ProtocolError
from hashwacht.uploads.backend import CheckResult
from hashwacht.uploads.wire import (
    MAX_MATCHES,
    Event,
    Size,
    UserId,
    WireContext,
    WireMatch,
    WirePath,
    WireSignal,
    from_wire_match,
    to_wire_matches,
)

MAX_REQUEST_SIZE = 128 << 10
"""Bytes of a request: eight texts of the greatest length, in any alphabet."""

MAX_LOOKUPS, MAX_LOOKUP_SIGNALS = 64, 16
"""Contents in one lookup, and signals of one content."""

MAX_LOOKUP_MATCHES = 4
"""Matches in the verdict on a content that was looked up."""

MAX_PATH_TIME = 60.0
"""Seconds for the files below one path."""

MediaType = Annotated[str, Meta(pattern=r"\A[a-z0-9.+/_-]{0,128}\Z")]
WireMatches = Annotated[tuple[WireMatch, ...], Meta(max_length=MAX_MATCHES)]


class UploadCheckRequest(Message, frozen=True, tag="check"):
    """Check the file whose descriptor comes with this; *private* as for CheckBackend."""

    private: bool
    wire_context: WireContext | None = None

    @property
    def context(self) -> UploadContext | None:
        """The context of the upload."""
        return None if self.wire_context is None else self.wire_context.to_context()


class PathCheckRequest(Message, frozen=True, tag="path"):
    """Check the files below *path* as far as the user *uid* with the group *gid* may ask.

    *everything*: go on after the first match.  What is not checked within *seconds* is not
    determined.
    """

    path: WirePath
    uid: UserId
    gid: UserId
    everything: bool
    seconds: Annotated[float, Meta(gt=0, le=MAX_PATH_TIME)]


class LookupContent(Message, frozen=True):
    """The signals of a content that a client has hashed; *kind* is its media type or empty."""

    signals: Annotated[tuple[WireSignal, ...], Meta(min_length=1, max_length=MAX_LOOKUP_SIGNALS)]
    kind: MediaType


class SignalsLookupRequest(Message, frozen=True, tag="lookup"):
    """Return a verdict on each content, without recording anything."""

    contents: Annotated[tuple[LookupContent, ...], Meta(min_length=1, max_length=MAX_LOOKUPS)]


class PartialUploadsRequest(Message, frozen=True, tag="partial"):
    """Record that files arrive in parts by *protocol*."""

    protocol: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9 -]{0,40}\Z")]


class DescribeDaemonRequest(Message, frozen=True, tag="describe"):
    """Describe the daemon."""


class GatewayReportRequest(Message, frozen=True, tag="gateway"):
    """Record what the gateway reports, and describe the daemon."""

    fronts: Annotated[tuple[FrontReport, ...], Meta(max_length=MAX_FRONTS)]


class AcceptedReply(Message, frozen=True, tag="accepted"):
    """The request has arrived."""


class UploadCheckReply(Message, frozen=True, tag="checked"):
    """The verdict and what is known of the content."""

    outcome: Outcome
    reason: Reason | None
    detail: str
    matches: WireMatches
    suppressed: WireMatches
    suppressed_by: WireMatches
    key: Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")]
    kind: MediaType
    size: Size
    recorded: bool

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "detail")

    @classmethod
    def from_result(cls, result: CheckResult) -> Self:
        """Return the reply with as many matches as fit."""
        verdict = result.verdict
        return cls(
            verdict.outcome,
            verdict.reason,
            verdict.detail,
            to_wire_matches(verdict.matches),
            to_wire_matches(verdict.suppressed),
            to_wire_matches(verdict.suppressed_by),
            result.key,
            result.kind,
            result.size,
            result.recorded,
        )

    def to_result(self) -> CheckResult:
        """Return the result."""
        matches = tuple(map(from_wire_match, self.matches))
        suppressed = tuple(map(from_wire_match, self.suppressed))
        good = tuple(map(from_wire_match, self.suppressed_by))
        verdict = Verdict(self.outcome, matches, self.reason, self.detail, suppressed, good)
        return CheckResult(verdict, self.key, self.kind, self.size, self.recorded)


class PathFileReply(Message, frozen=True, tag="file"):
    """One file below a path: its verdict under *event*, or the *problem* why it has none."""

    path: Annotated[bytes, Meta(min_length=1, max_length=32 << 10)]
    event: Event
    checked: UploadCheckReply | None
    problem: str = ""

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "problem")


class PathEndReply(Message, frozen=True, tag="end"):
    """No other file follows.  *is_complete*: all files were looked at."""

    is_complete: bool


class LookupVerdict(Message, frozen=True):
    """The verdict on a content that was looked up."""

    outcome: Outcome
    reason: Reason | None
    detail: str
    matches: Annotated[tuple[WireMatch, ...], Meta(max_length=MAX_LOOKUP_MATCHES)]

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "detail")

    @classmethod
    def from_verdict(cls, verdict: Verdict) -> Self:
        """Return the verdict with as many matches as fit."""
        matches = to_wire_matches(verdict.matches, MAX_LOOKUP_MATCHES)
        return cls(verdict.outcome, verdict.reason, verdict.detail, matches)

    def to_verdict(self) -> Verdict:
        """Return the verdict."""
        matches = tuple(map(from_wire_match, self.matches))
        return Verdict(self.outcome, matches, self.reason, self.detail)


class SignalsLookupReply(Message, frozen=True, tag="verdicts"):
    """One verdict for each content, in order."""

    verdicts: Annotated[tuple[LookupVerdict, ...], Meta(max_length=MAX_LOOKUPS)]


class DescribeDaemonReply(Message, frozen=True, tag="described"):
    """The daemon's *release*, and the size (bytes) of the largest file that it accepts.

    *problem* is why no content can get a verdict now, empty if one can.  *revision* is the number
    of changes of lists and matchers so far.
    """

    release: str
    max_size: Size
    problem: str = ""
    revision: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "release", "problem")


class UploadFailureReply(Message, frozen=True, tag="failed"):
    """The request failed; *overloaded*: there are too many at once."""

    problem: str
    overloaded: bool = False

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "problem")


UploadRequest = (
    UploadCheckRequest
    | PathCheckRequest
    | SignalsLookupRequest
    | PartialUploadsRequest
    | DescribeDaemonRequest
    | GatewayReportRequest
)
UploadReply = (
    AcceptedReply
    | UploadCheckReply
    | PathFileReply
    | PathEndReply
    | SignalsLookupReply
    | DescribeDaemonReply
    | UploadFailureReply
)

_request_decoder = MessageDecoder[UploadRequest](UploadRequest)
_reply_decoder = MessageDecoder[UploadReply](UploadReply)


def decode_request(body: bytes) -> UploadRequest:
    """Return the request of an application.  Raises ProtocolError, and nothing else."""
    request = _request_decoder.decode(body)
    if isinstance(request, UploadCheckRequest) and request.wire_context is not None:
        request.wire_context.to_context()
    if isinstance(request, SignalsLookupRequest):
        for content in request.contents:
            for signal in content.signals:
                _require_canonical(Signal(*signal))
    return request


def _require_canonical(signal: Signal) -> None:
    try:
        kind = BUILT_IN.get(signal.type) or TextSignalType(signal.type)
        canonical = kind.canonical(signal.value)
    except SignalError as error:
        raise ProtocolError("a value that is not of its type") from error
    if canonical != signal.value:
        raise ProtocolError("a value that is not in canonical form")


def decode_reply(body: bytes) -> UploadReply:
    """Return the reply of the daemon.  Raises ProtocolError, and nothing else."""
    return _reply_decoder.decode(body)

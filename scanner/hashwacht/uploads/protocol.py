"""The messages on the daemon's socket for uploads, and one connection to it.

An application sends one request on a connection.  An UploadCheckRequest comes with one open
descriptor and has two replies: AcceptedReply at once, which shows that the daemon works, and
UploadCheckReply with the verdict.  Everything else ends the connection.
"""

from __future__ import annotations

import re
import socket
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

from msgspec import Meta

from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import MAX_TEXT_CHARACTERS, UploadContext
from hashwacht.ipc.codec import (
    MAX_LINE_LENGTH,
    FrameSplitter,
    Message,
    MessageDecoder,
    Name,
    ProtocolError,
    TypeName,
    encode,
    pack_frame,
    printable,
)
from hashwacht.uploads.backend import CheckResult

MAX_MATCHES = 64
"""Matches in a verdict; one more would not change it."""

MAX_REQUEST_SIZE = 128 << 10
"""Bytes of a request: eight texts of the greatest length, in any alphabet."""

_MAX_NAME = 200

ClientText = Annotated[bytes, Meta(max_length=4 * MAX_TEXT_CHARACTERS)]
"""Text of the client, which need not be valid Unicode: UTF-8 with surrogates."""

Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]

_EVENT = re.compile(r"([0-9a-f]{8})?")

Event = Annotated[str, Meta(pattern=rf"\A{_EVENT.pattern}\Z")]
"""The number that a client of the gateway is shown; empty for other applications."""

UserId = Annotated[int, Meta(ge=0, lt=1 << 32)]

WireSignal = tuple[
    TypeName,
    Annotated[str, Meta(pattern=r"\A[!-~]{1,1024}\Z")],
    Annotated[int, Meta(ge=0, le=100)] | None,
    Annotated[str, Meta(pattern=r"\A[a-z0-9:/_-]{0,64}\Z")],
]
"""Type, value, quality and variant."""


class WireMatch(Message, frozen=True):
    """A match, with its texts shortened and printable."""

    matcher: Name
    signal: WireSignal
    distance: Annotated[int, Meta(ge=0, lt=1 << 16)] | None
    category: str
    list: str
    id: str
    known_good: bool

    def __post_init__(self) -> None:
        self._fit(_MAX_NAME, "category", "list", "id")


WireMatches = Annotated[tuple[WireMatch, ...], Meta(max_length=MAX_MATCHES)]


class WireContext(Message, frozen=True):
    """What the application states about an upload.

    Which user submits it, the kernel reports; only the gateway states *submitter_uid* of another.
    """

    received_at: Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)]
    address: ClientText
    port: Annotated[int, Meta(ge=0, lt=1 << 16)] | None
    user: ClientText
    path: ClientText
    field: ClientText
    file_name: ClientText
    declared_type: ClientText
    submitter_uid: UserId | None
    event: Event

    @classmethod
    def from_context(cls, context: UploadContext) -> Self:
        """Return the context with its texts cut to what a daemon accepts."""
        return cls(
            printable(context.received_at),
            _to_wire(context.address),
            context.port,
            _to_wire(context.user),
            _to_wire(context.path),
            _to_wire(context.field),
            _to_wire(context.file_name),
            _to_wire(context.declared_type),
            context.submitter_uid,
            context.event if _EVENT.fullmatch(context.event) else "",
        )

    def to_context(self) -> UploadContext:
        """Return the context.  Raises ProtocolError for a bad text or a time without a zone."""
        try:
            zone = datetime.fromisoformat(self.received_at).tzinfo
        except ValueError as error:
            raise ProtocolError("an invalid time") from error
        if zone is None:
            raise ProtocolError("a time without a zone")
        texts = self.address, self.user, self.path, self.field, self.file_name, self.declared_type
        address, user, path, field, file_name, declared = map(_from_wire, texts)
        names = user, path, field, file_name, declared
        submitter = self.submitter_uid, self.event
        return UploadContext(self.received_at, address, self.port, *names, *submitter)


def _to_wire(text: str) -> bytes:
    return text[:MAX_TEXT_CHARACTERS].encode("utf-8", "surrogatepass")


def _from_wire(text: bytes) -> str:
    try:
        decoded = text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise ProtocolError("a text that is not UTF-8") from error
    if len(decoded) > MAX_TEXT_CHARACTERS:
        raise ProtocolError("a text that is too long")
    return decoded


class UploadCheckRequest(Message, frozen=True, tag="check"):
    """Check the file whose descriptor comes with this; *private* as for CheckBackend."""

    private: bool
    wire_context: WireContext | None = None

    @property
    def context(self) -> UploadContext | None:
        """The context of the upload."""
        return None if self.wire_context is None else self.wire_context.to_context()


class PartialUploadsRequest(Message, frozen=True, tag="partial"):
    """Record that files arrive in parts by *protocol*."""

    protocol: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9 -]{0,40}\Z")]


class DescribeDaemonRequest(Message, frozen=True, tag="describe"):
    """Describe the daemon."""


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
    kind: Annotated[str, Meta(pattern=r"\A[a-z0-9.+/_-]{0,128}\Z")]
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
            _wire_matches(verdict.matches),
            _wire_matches(verdict.suppressed),
            _wire_matches(verdict.suppressed_by),
            result.key,
            result.kind,
            result.size,
            result.recorded,
        )

    def to_result(self) -> CheckResult:
        """Return the result."""
        matches = tuple(map(_match, self.matches))
        suppressed = tuple(map(_match, self.suppressed))
        good = tuple(map(_match, self.suppressed_by))
        verdict = Verdict(self.outcome, matches, self.reason, self.detail, suppressed, good)
        return CheckResult(verdict, self.key, self.kind, self.size, self.recorded)


def _wire_matches(matches: Sequence[Match]) -> tuple[WireMatch, ...]:
    return tuple(map(_wire_match, matches[:MAX_MATCHES]))


def _wire_match(match: Match) -> WireMatch:
    signal = match.signal.type, match.signal.value, match.signal.quality, match.signal.variant
    names = match.category, match.list, match.id
    return WireMatch(match.matcher, signal, match.distance, *names, match.known_good)


def _match(wire: WireMatch) -> Match:
    signal = Signal(*wire.signal)
    names = (wire.category, wire.list, wire.id)
    return Match(wire.matcher, signal, wire.distance, *names, wire.known_good)


class DescribeDaemonReply(Message, frozen=True, tag="described"):
    """The daemon's *release*, and the size (bytes) of the largest file that it accepts."""

    release: str
    max_size: Size

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "release")


class UploadFailureReply(Message, frozen=True, tag="failed"):
    """The request failed; *overloaded*: there are too many at once."""

    problem: str
    overloaded: bool = False

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "problem")


UploadRequest = UploadCheckRequest | PartialUploadsRequest | DescribeDaemonRequest
UploadReply = AcceptedReply | UploadCheckReply | DescribeDaemonReply | UploadFailureReply

_request_decoder = MessageDecoder[UploadRequest](UploadRequest)
_reply_decoder = MessageDecoder[UploadReply](UploadReply)


def decode_request(body: bytes) -> UploadRequest:
    """Return the request of an application.  Raises ProtocolError, and nothing else."""
    request = _request_decoder.decode(body)
    if isinstance(request, UploadCheckRequest) and request.wire_context is not None:
        request.wire_context.to_context()
    return request


def decode_reply(body: bytes) -> UploadReply:
    """Return the reply of the daemon.  Raises ProtocolError, and nothing else."""
    return _reply_decoder.decode(body)


_NUMBER = 1
"""There is one request on a connection."""

_PIECE = 64 << 10


class ConnectionClosed(Exception):
    """The other end has closed the connection."""


class UploadChannel:
    """One connection: messages, and a descriptor with the first.  Not thread-safe.

    A descriptor belongs to the first byte of the message it was sent with (unix(7)); the kernel
    closes those that come elsewhere, or beyond the number that is asked for.
    """

    def __init__(self, connected: socket.socket, max_body: int) -> None:
        """Take over a connected socket; no message may be longer than *max_body* bytes."""
        self._socket = connected
        self._splitter = FrameSplitter(max_body)
        self._messages: deque[tuple[int, bytes]] = deque()

    def send(self, message: Message, seconds: float, fd: int | None = None) -> None:
        """Send a message, with a descriptor.  Raises ConnectionClosed, TimeoutError."""
        pending = memoryview(pack_frame(_NUMBER, encode(message)))
        try:
            self._socket.settimeout(seconds)
            if fd is not None:
                pending = pending[socket.send_fds(self._socket, [pending], [fd]) :]
            if pending:  # an empty send fails as well if the other end has replied and gone
                self._socket.sendall(pending)
        except TimeoutError:
            raise
        except OSError as error:
            raise _closed(error) from error

    def receive(self, seconds: float, fds: list[int] | None = None) -> bytes:
        """Return the next message.  Raises ConnectionClosed, TimeoutError, ProtocolError.

        A descriptor that comes with its first byte is appended to *fds*, for the caller to close
        whatever is raised.
        """
        deadline = time.monotonic() + seconds
        while not self._messages:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self._socket.settimeout(remaining)
            self._messages += self._splitter.feed(self._receive_piece(fds))
            fds = None
        number, body = self._messages.popleft()
        if number != _NUMBER:
            raise ProtocolError("an unexpected message")
        return body

    def _receive_piece(self, fds: list[int] | None) -> bytes:
        try:
            if fds is None:
                piece = self._socket.recv(_PIECE)
            else:
                flags = socket.MSG_CMSG_CLOEXEC
                piece, received, _, _ = socket.recv_fds(self._socket, _PIECE, 1, flags)
                fds += received
        except TimeoutError:
            raise
        except OSError as error:
            raise _closed(error) from error
        if not piece:
            raise ConnectionClosed("the connection was closed")
        return piece

    def close(self) -> None:
        """Close the connection.  Idempotent."""
        self._socket.close()


def _closed(error: OSError) -> ConnectionClosed:
    return ConnectionClosed(error.strerror or "the connection was closed")

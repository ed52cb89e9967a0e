"""The messages between scanner and courier.

The scanner reads customers' files and has no network; the courier has a network and sees no
file.  What these messages can carry decides what can leave this machine, and **no message has a
field that could carry content**: a lookup is a signal type and a value in the canonical form and
length of that type (32 hexadecimal digits for an MD5, 64 for a PDQ); matchers and channels are
names of the configuration.  A service receives nothing else.  A hash list is fetched by its name:
its address is in the courier's configuration, and only the reply has content, that of the list.

The only text is that of a notice, which goes to the recipients in the configuration: a summary of
one line and a case as JSON, both bounded.  A compromised scanner could put false statements into
the administrator's mail; it could not choose a recipient.

A reply of a service or channel is free text.  It is shortened and made printable when the message
is created, so that a service cannot end the connection by the names it chooses.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated

from msgspec import Meta
from msgspec.structs import force_setattr

from hashwacht.core.errors import SignalError
from hashwacht.core.notice import Notice, sanitize_notice
from hashwacht.core.signals import BUILT_IN, TextSignalType
from hashwacht.core.types import Diagnostic, Reason
from hashwacht.ipc.codec import (
    MAX_BODY,
    MAX_LINE_LENGTH,
    Message,
    MessageDecoder,
    Name,
    ProtocolError,
    TypeName,
    encode,
    printable,
)

MAX_SIGNALS = 256
"""Signals in one lookup."""

MAX_HITS = 16
"""Hits in the reply for one signal; a seventeenth would not change the verdict."""

MAX_NOTICES = 64
"""Notices in one message."""

MAX_NAME = 128
"""Characters of the name of a list or of an entry, as a service writes it."""

MAX_PART = 512 * 1024
"""Bytes of a list in one reply; in Base64 they fit into a message."""

MAX_DISTANCE = (1 << 16) - 1
"""Bits by which an entry may differ from a signal."""

SignalKey = tuple[TypeName, Annotated[str, Meta(pattern=r"\A[0-9a-f]+\Z")]]
"""Type and value: all that a service sees of a signal."""

Token = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class SignalLookupRequest(Message, frozen=True, tag="ask"):
    """Look up *signals* with *matcher*.  Answered by SignalLookupReply."""

    matcher: Name
    signals: Annotated[tuple[SignalKey, ...], Meta(min_length=1, max_length=MAX_SIGNALS)]


class CheckRequest(Message, frozen=True, tag="check"):
    """Check whether *matcher* works.  Answered by CheckReply."""

    matcher: Name


class DescribeRequest(Message, frozen=True, tag="describe"):
    """List matchers and channels.  Answered at once, so it is the heartbeat as well."""


class NoticeEnvelope(Message, frozen=True):
    """A notice in a message; *name* is the same in every attempt and channel.

    *left_out* counts older notices that were dropped to make room for it.
    """

    name: Token
    notice: Notice
    left_out: Annotated[int, Meta(ge=0, lt=1 << 53)] = 0

    def __post_init__(self) -> None:
        force_setattr(self, "notice", sanitize_notice(self.notice))


class DeliverRequest(Message, frozen=True, tag="deliver"):
    """Deliver *notices* through *channel*.  *batch* is the same in every attempt.

    *audit* is a checkpoint of the audit log, number and hash, empty if there is none.
    """

    channel: Name
    batch: Token
    notices: Annotated[tuple[NoticeEnvelope, ...], Meta(min_length=1, max_length=MAX_NOTICES)]
    audit: Annotated[str, Meta(pattern=r"\A(?:[0-9]{1,18}:[0-9a-f]{64})?\Z")] = ""


class FileRole(StrEnum):
    """The files of a hash list at its source."""

    LIST = "list"
    CHECKSUM = "checksum"
    SIGNATURE = "signature"


class ListPartRequest(Message, frozen=True, tag="part"):
    """Fetch a part of a file of the hash list *source*.  Answered by ListPartReply.

    Parts are numbered from 0, which starts a new download, and requested in order; the last one may
    be requested again.
    """

    source: Name
    role: FileRole
    number: Annotated[int, Meta(ge=0, lt=1 << 40)]


class ServiceHit(Message, frozen=True):
    """An entry of a service that matches a signal; the terms are those of Match."""

    category: Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,64}\Z")]
    distance: Annotated[int, Meta(ge=0, le=MAX_DISTANCE)] | None
    list: str = ""
    id: str = ""

    def __post_init__(self) -> None:
        self._fit(MAX_NAME, "list", "id")
        if self.distance is not None and self.distance > MAX_DISTANCE:
            force_setattr(self, "distance", MAX_DISTANCE)


class SignalReply(Message, frozen=True):
    """The answer for one signal: hits (none: not known), or the *reason* why there is none."""

    hits: Annotated[tuple[ServiceHit, ...], Meta(max_length=MAX_HITS)] = ()
    reason: Reason | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        answered = self.reason is None
        force_setattr(self, "hits", self.hits[:MAX_HITS] if answered else ())
        force_setattr(self, "detail", "" if answered else printable(self.detail))


class SignalLookupReply(Message, frozen=True, tag="answers"):
    """One reply for each signal, in order; *revision* is the digest of the matcher's revision."""

    revision: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    replies: Annotated[tuple[SignalReply, ...], Meta(max_length=MAX_SIGNALS)]


class CheckReply(Message, frozen=True, tag="checked"):
    """The state of a matcher."""

    diagnostic: Diagnostic

    def __post_init__(self) -> None:
        state = self.diagnostic
        subject, detail, advice = map(printable, (state.subject, state.detail, state.advice))
        force_setattr(self, "diagnostic", Diagnostic(subject, state.ok, detail, advice))


class ListPartReply(Message, frozen=True, tag="content"):
    """A part of a file; it is the *last* one if nothing follows."""

    content: Annotated[bytes, Meta(max_length=MAX_PART)]
    last: bool


class DescribeReply(Message, frozen=True, tag="described"):
    """The names of the matchers, channels and list sources that the courier serves."""

    matchers: Annotated[tuple[Name, ...], Meta(max_length=256)]
    channels: Annotated[tuple[Name, ...], Meta(max_length=256)]
    lists: Annotated[tuple[Name, ...], Meta(max_length=256)] = ()


class DeliverReply(Message, frozen=True, tag="delivered"):
    """The notices arrived; *problem* is what failed nevertheless, such as one of the addresses."""

    problem: str = ""

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "problem")


class FailureReply(Message, frozen=True, tag="failed"):
    """The request failed."""

    problem: str
    advice: str = ""

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "problem", "advice")


CourierRequest = (
    SignalLookupRequest | CheckRequest | DescribeRequest | DeliverRequest | ListPartRequest
)
CourierReply = (
    SignalLookupReply | CheckReply | DescribeReply | DeliverReply | ListPartReply | FailureReply
)

_REPLIES = {
    SignalLookupRequest: SignalLookupReply,
    CheckRequest: CheckReply,
    DescribeRequest: DescribeReply,
    DeliverRequest: DeliverReply,
    ListPartRequest: ListPartReply,
}
"""The reply to each request, if it is no failure."""

_request_decoder = MessageDecoder[CourierRequest](CourierRequest)
_reply_decoder = MessageDecoder[CourierReply](CourierReply)


def decode_request(body: bytes) -> CourierRequest:
    """Return the request of a scanner.  Raises ProtocolError, and nothing else."""
    request = _request_decoder.decode(body)
    if isinstance(request, SignalLookupRequest):
        if len(set(request.signals)) != len(request.signals):
            raise ProtocolError("a signal occurs twice")
        for kind, value in request.signals:
            _require_canonical(kind, value)
    return request


def _require_canonical(kind: str, value: str) -> None:
    try:
        canonical = (BUILT_IN.get(kind) or TextSignalType(kind)).canonical(value)
    except SignalError as error:
        raise ProtocolError("a value that is not of its type") from error
    if canonical != value:
        raise ProtocolError("a value that is not in canonical form")


def encode_reply(reply: CourierReply) -> bytes:
    """Return the bytes of a reply; one that is too long keeps one hit for each signal."""
    body = encode(reply)
    if len(body) > MAX_BODY and isinstance(reply, SignalLookupReply):
        first = (SignalReply(each.hits[:1], each.reason, each.detail) for each in reply.replies)
        return encode_reply(SignalLookupReply(reply.revision, tuple(first)))
    return body


def decode_reply(body: bytes, request: CourierRequest) -> CourierReply:
    """Return the courier's reply to *request*.  Raises ProtocolError, and nothing else."""
    reply = _reply_decoder.decode(body)
    if not isinstance(reply, _REPLIES[type(request)] | FailureReply):
        raise ProtocolError("a reply to another request")
    if (
        isinstance(request, SignalLookupRequest)
        and isinstance(reply, SignalLookupReply)
        and len(reply.replies) != len(request.signals)
    ):
        raise ProtocolError("not one reply for each signal")
    return reply


def revision_digest(revision: str) -> str:
    """Return a digest of a revision, which can be of any length and hold any text."""
    return hashlib.sha256(revision.encode("utf-8", "surrogatepass")).hexdigest()

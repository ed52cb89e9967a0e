"""What the courier says to the scanner, as bytes and back.

Arrays as in :mod:`hashwacht.ipc.message_codec`, each an answer to just one of its words::

    ["answers", revision, [heard, …]]
    ["checked", subject, ok, detail, advice]
    ["described", [matcher, …], [channel, …]]
    ["delivered", problem]
    ["failed", problem, advice]

where *heard* is ``[[category, distance, list, id], …]`` or ``[reason, detail]``.

What the scanner says to the courier, as bytes and back.

A message is one JSON array in UTF-8 that begins with its word::

    ["ask", matcher, [[type, value], …]]
    ["check", matcher]
    ["describe"]
    ["deliver", channel, batch, [[name, kind, at, summary, case, left_out], …]]

An array has no field that could be overlooked: one element too many is nonsense, like everything
else that we would not have written ourselves.
"""

from __future__ import annotations

import math
import re

from hashwacht.core.errors import SignalError
from hashwacht.core.notice import Notice, NoticeKind, sanitize_notice
from hashwacht.core.signals import BUILT_IN, TextSignalType
from hashwacht.core.types import Diagnostic, Reason
from hashwacht.ipc.codec import (
    NAME,
    enum_member,
    number,
    printable,
    printable_line,
    read,
    text,
    write,
)
from hashwacht.ipc.frames import MAX_BODY, ProtocolError
from hashwacht.ipc.messages import (
    MAX_HITS,
    MAX_NOTICES,
    MAX_SIGNALS,
    CheckReply,
    CheckRequest,
    CourierReply,
    CourierRequest,
    DeliverReply,
    DeliverRequest,
    DescribeReply,
    DescribeRequest,
    FailureReply,
    NoticeEnvelope,
    ServiceHit,
    SignalKey,
    SignalLookupReply,
    SignalLookupRequest,
    SignalReply,
)

_TYPE = re.compile(r"[a-z0-9_]{1,64}")
_HEX = re.compile(r"[0-9a-f]+")
_TOKEN = re.compile(r"[0-9a-f]{32}")
_MOST_LEFT_OUT = 1 << 53


def encode_request(request: CourierRequest) -> bytes:
    """Write what the scanner says; it is the caller's business that it is in bounds."""
    match request:
        case SignalLookupRequest(matcher, signals):
            return write(["ask", matcher, signals])
        case CheckRequest(matcher):
            return write(["check", matcher])
        case DescribeRequest():
            return write(["describe"])
        case DeliverRequest(channel, batch, notices):
            return write(["deliver", channel, batch, [_enclosed(each) for each in notices]])


def _enclosed(each: NoticeEnvelope) -> list[object]:
    notice = each.notice
    fields = [notice.kind, notice.at, notice.summary, notice.case]
    return [each.name, *fields, each.left_out]


def decode_request(body: bytes) -> CourierRequest:
    """Read what a scanner says.  Raises Nonsense, and nothing else, whatever the bytes are."""
    match read(body):
        case ["ask", matcher, list(signals)] if 0 < len(signals) <= MAX_SIGNALS:
            return SignalLookupRequest(
                text(matcher, NAME), _each_once(tuple(map(_signal, signals)))
            )
        case ["check", matcher]:
            return CheckRequest(text(matcher, NAME))
        case ["describe"]:
            return DescribeRequest()
        case ["deliver", channel, batch, list(notices)] if 0 < len(notices) <= MAX_NOTICES:
            return DeliverRequest(
                text(channel, NAME), text(batch, _TOKEN), tuple(map(_notice, notices))
            )
    raise ProtocolError("no request")


def _signal(fields: object) -> SignalKey:
    """Check a signal: a value in the canonical form of its type, and hexadecimal in any case."""
    match fields:
        case [type_, str(value)]:
            kind = text(type_, _TYPE)
            form = BUILT_IN.get(kind) or TextSignalType(kind)
            try:
                canonical = form.canonical(value)
            except SignalError as error:
                raise ProtocolError("no value of its type") from error
            if canonical == value and _HEX.fullmatch(value):
                return kind, value
    raise ProtocolError("no signal")


def _each_once(signals: tuple[SignalKey, ...]) -> tuple[SignalKey, ...]:
    if len(set(signals)) != len(signals):
        raise ProtocolError("a signal twice")
    return signals


def _notice(fields: object) -> NoticeEnvelope:
    """Check a notice: within the bounds that every notice is brought into."""
    match fields:
        case [name, kind, float(at), str(summary), str(case), left_out] if math.isfinite(at):
            notice = Notice(enum_member(NoticeKind, kind), at, summary, case)
            if sanitize_notice(notice) == notice:
                return NoticeEnvelope(text(name, _TOKEN), notice, number(left_out, _MOST_LEFT_OUT))
    raise ProtocolError("no notice")


MAX_NAME = 128
"""Characters of the name of a list or of an entry, as a service writes it."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CATEGORY = re.compile(r"[a-z0-9-]{1,64}")
_MOST_NAMES = 256
_FARTHEST = 1 << 16


def encode_reply(reply: CourierReply) -> bytes:
    """Write what the courier says.  Texts are made to fit; if it is too long, hits are left out."""
    body = write(_fields(reply))
    if len(body) > MAX_BODY and isinstance(reply, SignalLookupReply):
        few = tuple(SignalReply(each.hits[:1], each.reason, each.detail) for each in reply.heard)
        return encode_reply(SignalLookupReply(reply.revision, few))
    return body


def _fields(reply: CourierReply) -> list[object]:
    match reply:
        case SignalLookupReply(revision, heard):
            return ["answers", revision, [_told(each) for each in heard]]
        case CheckReply(Diagnostic(subject, ok, detail, advice)):
            return ["checked", printable(subject), ok, printable(detail), printable(advice)]
        case DescribeReply(matchers, channels):
            return ["described", matchers, channels]
        case DeliverReply(problem):
            return ["delivered", printable(problem)]
        case FailureReply(problem, advice):
            return ["failed", printable(problem), printable(advice)]


def _told(heard: SignalReply) -> list[object]:
    if heard.reason is not None:
        return [heard.reason, printable(heard.detail)]
    return [_entry(each) for each in heard.hits[:MAX_HITS]]


def _entry(hit: ServiceHit) -> list[object]:
    bits = None if hit.distance is None else min(hit.distance, _FARTHEST - 1)
    return [hit.category, bits, printable(hit.list, MAX_NAME), printable(hit.id, MAX_NAME)]


def decode_reply(body: bytes, request: CourierRequest) -> CourierReply:
    """Read what the courier says to *request*.  Raises Nonsense, and nothing else."""
    match (request, read(body)):
        case (SignalLookupRequest(), ["answers", revision, list(heard)]) if len(heard) == len(
            request.signals
        ):
            return SignalLookupReply(text(revision, _DIGEST), tuple(map(_heard, heard)))
        case (CheckRequest(), ["checked", subject, bool(ok), detail, advice]):
            return CheckReply(
                Diagnostic(
                    printable_line(subject), ok, printable_line(detail), printable_line(advice)
                )
            )
        case (DescribeRequest(), ["described", list(matchers), list(channels)]):
            return DescribeReply(_names(matchers), _names(channels))
        case (DeliverRequest(), ["delivered", problem]):
            return DeliverReply(printable_line(problem))
        case (_, ["failed", problem, advice]):
            return FailureReply(printable_line(problem), printable_line(advice))
    raise ProtocolError("no reply to that")


def _heard(fields: object) -> SignalReply:
    match fields:
        case [str(reason), detail]:
            return SignalReply((), enum_member(Reason, reason), printable_line(detail))
        case list() if len(fields) <= MAX_HITS:
            return SignalReply(tuple(map(_hit, fields)))
    raise ProtocolError("nothing that could be heard")


def _hit(fields: object) -> ServiceHit:
    match fields:
        case [category, distance, list_, id_]:
            bits = None if distance is None else number(distance, _FARTHEST)
            names = (printable_line(list_, MAX_NAME), printable_line(id_, MAX_NAME))
            return ServiceHit(text(category, _CATEGORY), bits, *names)
    raise ProtocolError("no hit")


def _names(fields: list[object]) -> tuple[str, ...]:
    if len(fields) > _MOST_NAMES:
        raise ProtocolError("too many names")
    return tuple(text(each, NAME) for each in fields)

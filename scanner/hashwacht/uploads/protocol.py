"""What may be said over the daemon's socket for uploads, as frozen values, as bytes and back.

Messages are JSON arrays that begin with their word, cut out of the stream as those to the courier
are (:mod:`hashwacht.ipc.frames`).  From an application::

    ["check", private, [received_at, address, port, user, path, field, file_name, declared_type]]
    ["partial", protocol]
    ["describe"]

With "check" comes one open descriptor; the circumstances may be null.  From the daemon::

    ["taken"]
    ["checked", outcome, reason, detail, matches, suppressed, suppressed_by, key, kind, size, kept]
    ["described", release, most]
    ["failed", problem]

"check" is answered twice: at once by "taken", which shows that the daemon lives, and by "checked".
Everything else that could be written is nonsense, and ends the connection.

Matches as fields of a message: ``[matcher, signal, distance, category, list, id, known_good]``.

A signal is ``[type, value, quality, variant]``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import MAX_TEXT_CHARACTERS, UploadContext
from hashwacht.ipc.codec import NAME, enum_member, number, printable, printable_line, read, text
from hashwacht.ipc.frames import ProtocolError
from hashwacht.uploads.backend import CheckResult

MAX_MATCHES = 64
"""Matches that are told of one content; one more would not change the verdict."""

_TYPE = re.compile(r"[a-z0-9_]{1,64}")
_VALUE = re.compile(r"[!-~]{1,1024}")
_VARIANT = re.compile(r"[a-z0-9:/_-]{0,64}")
_WORDS = 200
_FARTHEST = 1 << 16
_BEST = 101


def encode_matches(matches: Sequence[Match]) -> list[object]:
    """Write them."""
    return [_to(each) for each in matches[:MAX_MATCHES]]


def decode_matches(fields: list[object]) -> tuple[Match, ...]:
    """Read them.  Raises Nonsense."""
    if len(fields) > MAX_MATCHES:
        raise ProtocolError("too many matches")
    return tuple(_from(each) for each in fields)


def _to(match: Match) -> list[object]:
    of = match.signal
    signal = [of.type, of.value, of.quality, of.variant]
    names = [printable(each, _WORDS) for each in (match.category, match.list, match.id)]
    return [match.matcher, signal, match.distance, *names, match.known_good]


def _from(fields: object) -> Match:
    match fields:
        case [matcher, list(signal), distance, category, list_, id_, bool(known_good)]:
            return Match(
                text(matcher, NAME),
                _signal(signal),
                _optional(distance, _FARTHEST),
                printable_line(category, _WORDS),
                printable_line(list_, _WORDS),
                printable_line(id_, _WORDS),
                known_good,
            )
    raise ProtocolError("no match")


def _signal(fields: list[object]) -> Signal:
    match fields:
        case [type_, value, quality, variant]:
            named = (text(type_, _TYPE), text(value, _VALUE))
            return Signal(*named, _optional(quality, _BEST), text(variant, _VARIANT))
    raise ProtocolError("no signal")


def _optional(value: object, below: int) -> int | None:
    return None if value is None else number(value, below)


MAX_MESSAGE_SIZE = 128 << 10
"""Bytes of a message from an application: eight texts of the longest, in any alphabet."""

_KEY = re.compile(r"([0-9a-f]{64})?")
_KIND = re.compile(r"[a-z0-9.+/_-]{0,128}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{0,40}")
_PORTS = 1 << 16
_LARGEST = 1 << 63


@dataclass(frozen=True, slots=True)
class UploadCheckRequest:
    """What is known of the file that comes with this?  As :class:`hashwacht.Workplace`."""

    private: bool
    context: UploadContext | None


@dataclass(frozen=True, slots=True)
class PartialUploadsRequest:
    """Files come in parts by this protocol."""

    protocol: str


@dataclass(frozen=True, slots=True)
class DescribeDaemonRequest:
    """Say who is there."""


@dataclass(frozen=True, slots=True)
class AcceptedReply:
    """It has come."""


@dataclass(frozen=True, slots=True)
class DescribeDaemonReply:
    """The daemon's *release*, and how large (bytes) a file it takes at most."""

    release: str
    most: int


@dataclass(frozen=True, slots=True)
class UploadFailureReply:
    """It cannot be done."""

    problem: str


UploadRequest = UploadCheckRequest | PartialUploadsRequest | DescribeDaemonRequest
UploadReply = AcceptedReply | CheckResult | DescribeDaemonReply | UploadFailureReply

Value = TypeVar("Value")


def encode_request(request: UploadRequest) -> bytes:
    """Write what an application says; texts are cut to what a daemon takes."""
    match request:
        case UploadCheckRequest(private, context):
            return _write(["check", private, None if context is None else _told(context)])
        case PartialUploadsRequest(protocol):
            return _write(["partial", protocol])
        case DescribeDaemonRequest():
            return _write(["describe"])


def decode_request(body: bytes) -> UploadRequest:
    """Read what an application says.  Raises Nonsense, and nothing else, whatever the bytes are."""
    match read(body):
        case ["check", bool(private), None]:
            return UploadCheckRequest(private, None)
        case ["check", bool(private), list(context)]:
            return UploadCheckRequest(private, _circumstances(context))
        case ["partial", protocol]:
            return PartialUploadsRequest(text(protocol, _NAME))
        case ["describe"]:
            return DescribeDaemonRequest()
    raise ProtocolError("no request")


def encode_reply(reply: UploadReply) -> bytes:
    """Write what the daemon says."""
    match reply:
        case AcceptedReply():
            return _write(["taken"])
        case CheckResult(verdict, key, kind, size, kept):
            said = [verdict.outcome, verdict.reason, printable(verdict.detail)]
            hits = (verdict.matches, verdict.suppressed, verdict.suppressed_by)
            return _write(["checked", *said, *map(encode_matches, hits), key, kind, size, kept])
        case DescribeDaemonReply(release, most):
            return _write(["described", printable(release), most])
        case UploadFailureReply(problem):
            return _write(["failed", printable(problem)])


def decode_reply(body: bytes) -> UploadReply:
    """Read what the daemon says.  Raises Nonsense, and nothing else."""
    match read(body):
        case ["taken"]:
            return AcceptedReply()
        case ["checked", outcome, reason, detail, *hits, key, kind, size, bool(kept)]:
            verdict = _verdict(outcome, reason, detail, hits)
            return CheckResult(verdict, text(key, _KEY), text(kind, _KIND), _size(size), kept)
        case ["described", release, most]:
            return DescribeDaemonReply(printable_line(release), _size(most))
        case ["failed", problem]:
            return UploadFailureReply(printable_line(problem))
    raise ProtocolError("no reply")


def _write(fields: list[object]) -> bytes:
    """Write in ASCII: what a client chose need not be any text that could be encoded."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _told(context: UploadContext) -> list[object]:
    texts = (context.user, context.path, context.field, context.file_name, context.declared_type)
    return [context.received_at, _cut(context.address), context.port, *map(_cut, texts)]


def _cut(chosen: str) -> str:
    return chosen[:MAX_TEXT_CHARACTERS]


def _circumstances(fields: list[object]) -> UploadContext:
    """Take what was told; who handed it over is not for him to say."""
    match fields:
        case [str(received_at), address, port, user, path, field, file_name, declared_type]:
            return UploadContext(
                _moment(received_at),
                _any_text(address),
                None if port is None else number(port, _PORTS),
                user=_any_text(user),
                path=_any_text(path),
                field=_any_text(field),
                file_name=_any_text(file_name),
                declared_type=_any_text(declared_type),
            )
    raise ProtocolError("no circumstances")


def _moment(received_at: str) -> str:
    """Take a time with its zone."""
    try:
        zone = datetime.fromisoformat(received_at).tzinfo
    except ValueError as error:
        raise ProtocolError("no time") from error
    if zone is None or len(received_at) > MAX_TEXT_CHARACTERS:
        raise ProtocolError("a time without a zone")
    return received_at


def _any_text(value: object) -> str:
    """Take a text that a client chose: any characters, but not endlessly many."""
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
        raise ProtocolError("not a text in bounds")
    return value


def _verdict(outcome: object, reason: object, detail: object, hits: list[object]) -> Verdict:
    match hits:
        case [list(matches), list(suppressed), list(suppressed_by)]:
            return Verdict(
                enum_member(Outcome, outcome),
                decode_matches(matches),
                None if reason is None else enum_member(Reason, reason),
                printable_line(detail),
                decode_matches(suppressed),
                decode_matches(suppressed_by),
            )
    raise ProtocolError("no verdict")


def _size(value: object) -> int:
    return number(value, _LARGEST)

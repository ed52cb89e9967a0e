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
from hashwacht.core.upload_context import LONGEST, Circumstances
from hashwacht.ipc.codec import NAME, member, number, read, shown, text, words
from hashwacht.ipc.frames import Nonsense
from hashwacht.uploads.backend import Checked

MOST = 64
"""Matches that are told of one content; one more would not change the verdict."""

_TYPE = re.compile(r"[a-z0-9_]{1,64}")
_VALUE = re.compile(r"[!-~]{1,1024}")
_VARIANT = re.compile(r"[a-z0-9:/_-]{0,64}")
_WORDS = 200
_FARTHEST = 1 << 16
_BEST = 101


def matches_to(matches: Sequence[Match]) -> list[object]:
    """Write them."""
    return [_to(each) for each in matches[:MOST]]


def matches_from(fields: list[object]) -> tuple[Match, ...]:
    """Read them.  Raises Nonsense."""
    if len(fields) > MOST:
        raise Nonsense("too many matches")
    return tuple(_from(each) for each in fields)


def _to(match: Match) -> list[object]:
    of = match.signal
    signal = [of.type, of.value, of.quality, of.variant]
    names = [shown(each, _WORDS) for each in (match.category, match.list, match.id)]
    return [match.matcher, signal, match.distance, *names, match.known_good]


def _from(fields: object) -> Match:
    match fields:
        case [matcher, list(signal), distance, category, list_, id_, bool(known_good)]:
            return Match(
                text(matcher, NAME),
                _signal(signal),
                _optional(distance, _FARTHEST),
                words(category, _WORDS),
                words(list_, _WORDS),
                words(id_, _WORDS),
                known_good,
            )
    raise Nonsense("no match")


def _signal(fields: list[object]) -> Signal:
    match fields:
        case [type_, value, quality, variant]:
            named = (text(type_, _TYPE), text(value, _VALUE))
            return Signal(*named, _optional(quality, _BEST), text(variant, _VARIANT))
    raise Nonsense("no signal")


def _optional(value: object, below: int) -> int | None:
    return None if value is None else number(value, below)


MOST_BODY = 128 << 10
"""Bytes of a message from an application: eight texts of the longest, in any alphabet."""

_KEY = re.compile(r"([0-9a-f]{64})?")
_KIND = re.compile(r"[a-z0-9.+/_-]{0,128}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{0,40}")
_PORTS = 1 << 16
_LARGEST = 1 << 63


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of the file that comes with this?  As :class:`hashwacht.Workplace`."""

    private: bool
    told: Circumstances | None


@dataclass(frozen=True, slots=True)
class Partial:
    """Files come in parts by this protocol."""

    protocol: str


@dataclass(frozen=True, slots=True)
class Describe:
    """Say who is there."""


@dataclass(frozen=True, slots=True)
class Taken:
    """It has come."""


@dataclass(frozen=True, slots=True)
class Described:
    """The daemon's *release*, and how large (bytes) a file it takes at most."""

    release: str
    most: int


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot be done."""

    problem: str


Request = Check | Partial | Describe
Reply = Taken | Checked | Described | Failed

Value = TypeVar("Value")


def encode_request(request: Request) -> bytes:
    """Write what an application says; texts are cut to what a daemon takes."""
    match request:
        case Check(private, told):
            return _write(["check", private, None if told is None else _told(told)])
        case Partial(protocol):
            return _write(["partial", protocol])
        case Describe():
            return _write(["describe"])


def decode_request(body: bytes) -> Request:
    """Read what an application says.  Raises Nonsense, and nothing else, whatever the bytes are."""
    match read(body):
        case ["check", bool(private), None]:
            return Check(private, None)
        case ["check", bool(private), list(told)]:
            return Check(private, _circumstances(told))
        case ["partial", protocol]:
            return Partial(text(protocol, _NAME))
        case ["describe"]:
            return Describe()
    raise Nonsense("no request")


def encode_reply(reply: Reply) -> bytes:
    """Write what the daemon says."""
    match reply:
        case Taken():
            return _write(["taken"])
        case Checked(verdict, key, kind, size, kept):
            said = [verdict.outcome, verdict.reason, shown(verdict.detail)]
            hits = (verdict.matches, verdict.suppressed, verdict.suppressed_by)
            return _write(["checked", *said, *map(matches_to, hits), key, kind, size, kept])
        case Described(release, most):
            return _write(["described", shown(release), most])
        case Failed(problem):
            return _write(["failed", shown(problem)])


def decode_reply(body: bytes) -> Reply:
    """Read what the daemon says.  Raises Nonsense, and nothing else."""
    match read(body):
        case ["taken"]:
            return Taken()
        case ["checked", outcome, reason, detail, *hits, key, kind, size, bool(kept)]:
            verdict = _verdict(outcome, reason, detail, hits)
            return Checked(verdict, text(key, _KEY), text(kind, _KIND), _size(size), kept)
        case ["described", release, most]:
            return Described(words(release), _size(most))
        case ["failed", problem]:
            return Failed(words(problem))
    raise Nonsense("no reply")


def _write(fields: list[object]) -> bytes:
    """Write in ASCII: what a client chose need not be any text that could be encoded."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _told(told: Circumstances) -> list[object]:
    texts = (told.user, told.path, told.field, told.file_name, told.declared_type)
    return [told.received_at, _cut(told.address), told.port, *map(_cut, texts)]


def _cut(chosen: str) -> str:
    return chosen[:LONGEST]


def _circumstances(fields: list[object]) -> Circumstances:
    """Take what was told; who handed it over is not for him to say."""
    match fields:
        case [str(received_at), address, port, user, path, field, file_name, declared_type]:
            return Circumstances(
                _moment(received_at),
                _any_text(address),
                None if port is None else number(port, _PORTS),
                user=_any_text(user),
                path=_any_text(path),
                field=_any_text(field),
                file_name=_any_text(file_name),
                declared_type=_any_text(declared_type),
            )
    raise Nonsense("no circumstances")


def _moment(received_at: str) -> str:
    """Take a time with its zone."""
    try:
        zone = datetime.fromisoformat(received_at).tzinfo
    except ValueError as error:
        raise Nonsense("no time") from error
    if zone is None or len(received_at) > LONGEST:
        raise Nonsense("a time without a zone")
    return received_at


def _any_text(value: object) -> str:
    """Take a text that a client chose: any characters, but not endlessly many."""
    if not isinstance(value, str) or len(value) > LONGEST:
        raise Nonsense("not a text in bounds")
    return value


def _verdict(outcome: object, reason: object, detail: object, hits: list[object]) -> Verdict:
    match hits:
        case [list(matches), list(suppressed), list(suppressed_by)]:
            return Verdict(
                member(Outcome, outcome),
                matches_from(matches),
                None if reason is None else member(Reason, reason),
                words(detail),
                matches_from(suppressed),
                matches_from(suppressed_by),
            )
    raise Nonsense("no verdict")


def _size(value: object) -> int:
    return number(value, _LARGEST)

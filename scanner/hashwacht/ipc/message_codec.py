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
from hashwacht.core.notice import Notice, NoticeKind, within_bounds
from hashwacht.core.signals import BUILT_IN, TextSignalType
from hashwacht.core.types import Finding, Reason
from hashwacht.ipc.codec import NAME, member, number, read, shown, text, words, write
from hashwacht.ipc.frames import MAX_BODY, Nonsense
from hashwacht.ipc.messages import (
    MOST_HITS,
    MOST_NOTICES,
    MOST_SIGNALS,
    Answers,
    Ask,
    Check,
    Checked,
    Deliver,
    Delivered,
    Describe,
    Described,
    Enclosed,
    Failed,
    Heard,
    Hit,
    Key,
    Reply,
    Request,
)

_TYPE = re.compile(r"[a-z0-9_]{1,64}")
_HEX = re.compile(r"[0-9a-f]+")
_TOKEN = re.compile(r"[0-9a-f]{32}")
_MOST_LEFT_OUT = 1 << 53


def encode_request(request: Request) -> bytes:
    """Write what the scanner says; it is the caller's business that it is in bounds."""
    match request:
        case Ask(matcher, signals):
            return write(["ask", matcher, signals])
        case Check(matcher):
            return write(["check", matcher])
        case Describe():
            return write(["describe"])
        case Deliver(channel, batch, notices):
            return write(["deliver", channel, batch, [_enclosed(each) for each in notices]])


def _enclosed(each: Enclosed) -> list[object]:
    notice = each.notice
    fields = [notice.kind, notice.at, notice.summary, notice.case]
    return [each.name, *fields, each.left_out]


def decode_request(body: bytes) -> Request:
    """Read what a scanner says.  Raises Nonsense, and nothing else, whatever the bytes are."""
    match read(body):
        case ["ask", matcher, list(signals)] if 0 < len(signals) <= MOST_SIGNALS:
            return Ask(text(matcher, NAME), _each_once(tuple(map(_signal, signals))))
        case ["check", matcher]:
            return Check(text(matcher, NAME))
        case ["describe"]:
            return Describe()
        case ["deliver", channel, batch, list(notices)] if 0 < len(notices) <= MOST_NOTICES:
            return Deliver(text(channel, NAME), text(batch, _TOKEN), tuple(map(_notice, notices)))
    raise Nonsense("no request")


def _signal(fields: object) -> Key:
    """Check a signal: a value in the canonical form of its type, and hexadecimal in any case."""
    match fields:
        case [type_, str(value)]:
            kind = text(type_, _TYPE)
            form = BUILT_IN.get(kind) or TextSignalType(kind)
            try:
                canonical = form.canonical(value)
            except SignalError as error:
                raise Nonsense("no value of its type") from error
            if canonical == value and _HEX.fullmatch(value):
                return kind, value
    raise Nonsense("no signal")


def _each_once(signals: tuple[Key, ...]) -> tuple[Key, ...]:
    if len(set(signals)) != len(signals):
        raise Nonsense("a signal twice")
    return signals


def _notice(fields: object) -> Enclosed:
    """Check a notice: within the bounds that every notice is brought into."""
    match fields:
        case [name, kind, float(at), str(summary), str(case), left_out] if math.isfinite(at):
            notice = Notice(member(NoticeKind, kind), at, summary, case)
            if within_bounds(notice) == notice:
                return Enclosed(text(name, _TOKEN), notice, number(left_out, _MOST_LEFT_OUT))
    raise Nonsense("no notice")


MAX_NAME = 128
"""Characters of the name of a list or of an entry, as a service writes it."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CATEGORY = re.compile(r"[a-z0-9-]{1,64}")
_MOST_NAMES = 256
_FARTHEST = 1 << 16


def encode_reply(reply: Reply) -> bytes:
    """Write what the courier says.  Texts are made to fit; if it is too long, hits are left out."""
    body = write(_fields(reply))
    if len(body) > MAX_BODY and isinstance(reply, Answers):
        few = tuple(Heard(each.hits[:1], each.reason, each.detail) for each in reply.heard)
        return encode_reply(Answers(reply.revision, few))
    return body


def _fields(reply: Reply) -> list[object]:
    match reply:
        case Answers(revision, heard):
            return ["answers", revision, [_told(each) for each in heard]]
        case Checked(Finding(subject, ok, detail, advice)):
            return ["checked", shown(subject), ok, shown(detail), shown(advice)]
        case Described(matchers, channels):
            return ["described", matchers, channels]
        case Delivered(problem):
            return ["delivered", shown(problem)]
        case Failed(problem, advice):
            return ["failed", shown(problem), shown(advice)]


def _told(heard: Heard) -> list[object]:
    if heard.reason is not None:
        return [heard.reason, shown(heard.detail)]
    return [_entry(each) for each in heard.hits[:MOST_HITS]]


def _entry(hit: Hit) -> list[object]:
    bits = None if hit.distance is None else min(hit.distance, _FARTHEST - 1)
    return [hit.category, bits, shown(hit.list, MAX_NAME), shown(hit.id, MAX_NAME)]


def decode_reply(body: bytes, request: Request) -> Reply:
    """Read what the courier says to *request*.  Raises Nonsense, and nothing else."""
    match (request, read(body)):
        case (Ask(), ["answers", revision, list(heard)]) if len(heard) == len(request.signals):
            return Answers(text(revision, _DIGEST), tuple(map(_heard, heard)))
        case (Check(), ["checked", subject, bool(ok), detail, advice]):
            return Checked(Finding(words(subject), ok, words(detail), words(advice)))
        case (Describe(), ["described", list(matchers), list(channels)]):
            return Described(_names(matchers), _names(channels))
        case (Deliver(), ["delivered", problem]):
            return Delivered(words(problem))
        case (_, ["failed", problem, advice]):
            return Failed(words(problem), words(advice))
    raise Nonsense("no reply to that")


def _heard(fields: object) -> Heard:
    match fields:
        case [str(reason), detail]:
            return Heard((), member(Reason, reason), words(detail))
        case list() if len(fields) <= MOST_HITS:
            return Heard(tuple(map(_hit, fields)))
    raise Nonsense("nothing that could be heard")


def _hit(fields: object) -> Hit:
    match fields:
        case [category, distance, list_, id_]:
            bits = None if distance is None else number(distance, _FARTHEST)
            names = (words(list_, MAX_NAME), words(id_, MAX_NAME))
            return Hit(text(category, _CATEGORY), bits, *names)
    raise Nonsense("no hit")


def _names(fields: list[object]) -> tuple[str, ...]:
    if len(fields) > _MOST_NAMES:
        raise Nonsense("too many names")
    return tuple(text(each, NAME) for each in fields)

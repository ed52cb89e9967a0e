"""What the scanner says to the courier, as bytes and back.

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
from hashwacht.ipc.codec import NAME, member, number, read, text, write
from hashwacht.ipc.frames import Nonsense
from hashwacht.ipc.messages import (
    MOST_NOTICES,
    MOST_SIGNALS,
    Ask,
    Check,
    Deliver,
    Describe,
    Enclosed,
    Key,
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

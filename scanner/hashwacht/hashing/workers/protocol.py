"""The exchange between the scanner and a worker; its decoder is where workers are distrusted.

A batch is the unit.  A request is :data:`REQUEST` with one to :data:`MAX_BATCH` open descriptors
attached (SCM_RIGHTS, unix(7)), one for each content.  Its answer is :data:`ANSWER`, with the
descriptors of the copies that are to be decoded, followed by a JSON array in ASCII with one reply
for each content, in order::

    ["fingerprint", key, size, kind, [[type, value, quality, variant], …],
                                     [[type, reason, detail], …], damaged]
    ["picture", [[type, value, quality, variant], …], [[type, reason, detail], …], damaged]
    ["unreadable", errno]
    ["failed", reason, detail]

A worker for digests sends no "picture", and the others no "fingerprint".

The worker may have been taken over by the picture it decoded, so :meth:`ReplyDecoder.decode`
trusts nothing: it checks every type, length and form, and that every requested signal type has
either a value or a reason.  A decoder can still lie about the picture; it cannot lie about
digests, crash the scanner, fill its memory, or insert a value of another type.  The parser is
that of Python's standard library (see SECURITY.md).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import accumulate
from typing import NoReturn

from hashwacht.core.errors import SignalError
from hashwacht.core.ports import SignalType
from hashwacht.core.text import is_printable_line, replace_unprintable
from hashwacht.core.types import CONTENT_KEY_TYPE, Fingerprint, Reason, Signal, Skip
from hashwacht.ipc.codec import ProtocolError

REQUEST = struct.Struct("!I")
"""Number of the request."""

ANSWER = struct.Struct("!IIBI")
"""Length of the body in bytes, number of the request, flags, and a set of bits: bit n for a copy of
the n-th content."""

EXITING = 1
"""Flag: the worker ends after this answer."""

MAX_BATCH = 8
"""Contents in one request.  Every change from one process to the other refills the caches: 0.2 to
0.3 ms each time, compared with 4 ms for a picture of 640x480."""

MAX_REPLY = 512 << 10
"""Bytes of one reply.  256 frames with all orientations, 16 of them with all views, are 370 KiB; of
more frames than fit the first ones are reported."""

MAX_DETAIL = 200
"""Characters of an explanation."""

_KEY = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[ -~]{1,128}")
_VARIANT = re.compile(r"[!-~]{0,64}")


class WorkerKind(IntEnum):
    """The one task of a worker."""

    DIGESTS = 0
    """Read the file: digests, size, kind, a copy of what may be a picture.  Decodes nothing."""
    PICTURE = 1
    """Decode the copy."""
    COMMANDS = 2
    """Pass the copy to an operator's programs.  Only these workers may run programs."""
    ARCHIVE = 3
    """Read the members of an archive; see :mod:`hashwacht.hashing.workers.archive_protocol`."""
    SMALL = 4
    """Digest many small contents; see :mod:`hashwacht.hashing.workers.small.small_protocol`."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The file system refused to read the content."""

    errno: int


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A task without a result, and why."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PictureResult:
    """The signals of a picture, and the reasons for those that are missing."""

    signals: tuple[Signal, ...]
    skipped: tuple[Skip, ...]
    damaged: bool


Reply = Fingerprint | PictureResult | Unreadable | TaskFailure


def max_answer(count: int) -> int:
    """Return the greatest length (bytes) of the answer for *count* contents."""
    return count * (MAX_REPLY + 1) + 1


def encode(replies: Sequence[Reply]) -> bytes:
    """Return the body of an answer; of a reply that is too long the first signals are kept."""
    return ("[" + ",".join(map(_encode_reply, replies)) + "]").encode("ascii")


def _encode_reply(reply: Reply) -> str:
    match reply:
        case Unreadable(errno=number):
            fields: list[object] = ["unreadable", number]
        case TaskFailure(reason=reason, detail=detail):
            fields = ["failed", reason, _fit(detail)]
        case Fingerprint() | PictureResult():
            signals = [_signal_fields(signal) for signal in reply.signals]
            skipped = [(s.type, s.reason, _fit(s.detail)) for s in reply.skipped]
            fields = ["picture", signals, skipped, reply.damaged]
            if isinstance(reply, Fingerprint):
                fields[:1] = ["fingerprint", reply.key, reply.size, reply.kind]
    encoded = _ENCODER.encode(fields)
    if len(encoded) <= MAX_REPLY:
        return encoded
    if isinstance(reply, Fingerprint | PictureResult) and reply.signals:
        return _encode_reply(_shortened(reply, len(encoded)))
    return _encode_reply(TaskFailure(Reason.OVER_LIMIT, f"its signals take {len(encoded)} bytes"))


def _signal_fields(signal: Signal) -> tuple[str, str, int | None, str]:
    return signal.type, signal.value, signal.quality, signal.variant


def _shortened(reply: Fingerprint | PictureResult, length: int) -> Fingerprint | PictureResult:
    """Return a reply of this *length* with as many signals as fit, and why there are not more."""
    sizes = [len(_ENCODER.encode(_signal_fields(signal))) + 1 for signal in reply.signals]
    types = dict.fromkeys(signal.type for signal in reply.signals)
    detail = f"its {len(sizes)} signals take {length} bytes"
    reasons = tuple(Skip(name, Reason.OVER_LIMIT, detail) for name in types)
    room = MAX_REPLY - (length - sum(sizes)) - MAX_DETAIL * len(types)
    fitting = sum(1 for end in accumulate(sizes) if end <= room)
    left_out = {signal.type for signal in reply.signals[fitting:]}
    skipped = *reply.skipped, *(reason for reason in reasons if reason.type in left_out)
    return replace(reply, signals=reply.signals[:fitting], skipped=skipped)


def _fit(detail: str) -> str:
    return replace_unprintable(detail[:MAX_DETAIL], "?")


class ReplyDecoder:
    """Decodes the answers of one kind of worker."""

    def __init__(
        self,
        types: Mapping[str, SignalType],
        recipe: tuple[str, ...] | None,
        others: Collection[str] = (),
    ) -> None:
        """Require *types*; accept reasons for *others* too, which this kind does not compute.

        *recipe* becomes part of the fingerprints; None for workers that send none.
        """
        self.types = types
        self._recipe = recipe
        self._may_skip = {*types, *others}

    def decode(self, body: bytes, count: int) -> list[Reply]:
        """Return *count* replies.  Raises ProtocolError, and nothing else, for other bytes."""
        try:
            replies = _DECODER.decode(body.decode("ascii"))
        except (ValueError, RecursionError) as error:
            raise ProtocolError("not JSON") from error
        if not isinstance(replies, list) or len(replies) != count:
            raise ProtocolError("not one reply for each content")
        return [self._reply(fields) for fields in replies]

    def _reply(self, fields: object) -> Reply:
        match fields:
            case ["fingerprint", key, size, kind, list(signals), list(skipped), bool(damaged)]:
                if self._recipe is not None:
                    result = self._result(signals, skipped, damaged=damaged)
                    return self._fingerprint(_text(key, _KEY), size, kind, result)
            case ["picture", list(signals), list(skipped), bool(damaged)]:
                if self._recipe is None:
                    return self._result(signals, skipped, damaged=damaged)
            case ["unreadable", number]:
                return Unreadable(_number(number, 4096))
            case ["failed", reason, detail]:
                return TaskFailure(_reason(reason), _detail(detail))
        raise ProtocolError("an unknown reply")

    def _fingerprint(
        self, key: str, size: object, kind: object, result: PictureResult
    ) -> Fingerprint:
        keys = {s.value for s in result.signals if s.type == CONTENT_KEY_TYPE and not s.variant}
        if not keys <= {key}:
            raise ProtocolError("two keys")
        size, kind = _number(size, 1 << 63), _text(kind, _KIND)
        signals, skipped, damaged = result.signals, result.skipped, result.damaged
        return Fingerprint(key, size, kind, self._recipe or (), signals, skipped, damaged)

    def _signal(self, fields: object) -> Signal:
        """Return a signal of a required type, in canonical form, with a possible quality."""
        match fields:
            case [str(name), str(value), quality, variant] if name in self.types:
                pass
            case _:
                raise ProtocolError("an unexpected signal")
        try:
            canonical = self.types[name].canonical(value)
        except SignalError as error:
            raise ProtocolError("a value that is not of its type") from error
        if canonical != value:
            raise ProtocolError("a value that is not in canonical form")
        checked_quality = None if quality is None else _number(quality, 101)
        return Signal(name, value, checked_quality, _text(variant, _VARIANT))

    def _skip(self, fields: object) -> Skip:
        match fields:
            case [str(name), reason, detail] if name in self._may_skip:
                return Skip(name, _reason(reason), _detail(detail))
        raise ProtocolError("an unexpected reason")

    def _result(
        self, signals: list[object], skipped: list[object], *, damaged: bool
    ) -> PictureResult:
        """Return the result unless it repeats a signal or omits a required type."""
        result = PictureResult(
            tuple(map(self._signal, signals)), tuple(map(self._skip, skipped)), damaged
        )
        types = {*(s.type for s in result.signals), *(s.type for s in result.skipped)}
        if len({(s.value, s.type, s.variant) for s in result.signals}) != len(result.signals):
            raise ProtocolError("a signal twice")
        if not types >= self.types.keys():
            raise ProtocolError("a required signal type has neither a value nor a reason")
        return result


def _refuse(_number: str) -> NoReturn:
    raise ProtocolError("a number that is not an integer")


def _number(value: object, below: int) -> int:
    if type(value) is not int or not 0 <= value < below:
        raise ProtocolError("a number out of range")
    return value


def _text(value: object, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise ProtocolError("a text of another form")
    return value


def _detail(value: object) -> str:
    if not isinstance(value, str) or not is_printable_line(value, MAX_DETAIL):
        raise ProtocolError("a detail that is not a short line")
    return value


def _reason(value: object) -> Reason:
    try:
        return Reason(value)  # type: ignore[arg-type]  # any value may be tried
    except ValueError as error:
        raise ProtocolError("an unknown reason") from error


_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse)

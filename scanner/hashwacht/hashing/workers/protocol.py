"""What passes between the scanner and a worker, and the one place that distrusts it.

A request is :data:`REQUEST` with up to :data:`MAX_BATCH` open descriptors beside it (SCM_RIGHTS,
unix(7)), one for each content; for each of them, in order, an answer comes back, all at once: it
is :data:`ANSWER` followed by one JSON array in ASCII.  A worker that digests says one of the
last three and adds the descriptor of a copy if the content is to be looked at; one that looks
at pictures says the first or one of the last two::

    ["seen", [[type, value, quality, variant], …], [[type, reason, detail], …], damaged]
    ["fingerprint", key, size, kind, [[type, value, quality, variant], …],
                                     [[type, reason, detail], …], damaged]
    ["unreadable", errno]
    ["failed", reason, detail]

The worker may have been taken over by the picture it decoded, so :meth:`ReplyDecoder.decode`
believes
nothing: it checks every type, length and form, and that every wanted signal type is either there
or accounted for.  A decoder can still lie about how the content looks; it has no word to say
about digests, and cannot crash the scanner, fill its memory, or smuggle in a value that nobody
asked for.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, NoReturn

from hashwacht.core.errors import SignalError
from hashwacht.core.ports import SignalType
from hashwacht.core.text import is_printable_line, replace_unprintable
from hashwacht.core.types import CONTENT_KEY_TYPE, Fingerprint, Reason, Signal, Skip
from hashwacht.hashing import Limits, Plan

REQUEST = struct.Struct("!I")
"""Number of the first content; the others count on from there."""

ANSWER = struct.Struct("!IIB")
"""Length of what follows in bytes, number of the content, flags: OVER, COPIED."""

EXITING, HAS_COPY = 1, 2
"""The worker ends after it; there is a copy of the content."""

MAX_BATCH = 8
"""Contents in one request.  With every change from one process to the other, caches are filled
anew: 0.2 to 0.3 ms each time, beside 4 ms for a picture of 640x480."""

MAX_ANSWER = 256 << 10
"""Bytes.  64 frames with all eight orientations of PDQ are about 70 KiB."""

MAX_DETAIL = 200
"""Characters of an explanation."""

_KEY = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[ -~]{1,128}")
_VARIANT = re.compile(r"[!-~]{0,64}")


class WorkerKind(IntEnum):
    """What is asked of a worker, which never does anything else."""

    DIGESTS = 0
    """Read the file: digests, size, kind, a copy of what may be a picture.  Decodes nothing."""
    PICTURE = 1
    """Decode the copy."""
    COMMANDS = 2
    """Hand the copy to an operator's programs.  The one kind of worker that may run some."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The file system refused while the content was read."""

    errno: int


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """No fingerprint came out of an attempt, and why."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PictureResult:
    """What was computed from a picture, and an account of what was not."""

    signals: tuple[Signal, ...]
    skipped: tuple[Skip, ...]
    damaged: bool


Reply = Fingerprint | PictureResult | Unreadable | TaskFailure


class InvalidReply(ValueError):
    """Bytes that no worker of ours would send."""


def encode(reply: Reply) -> bytes:
    """Write a reply; one that is too long becomes a failure that says so."""
    match reply:
        case Unreadable(errno=number):
            fields: list[object] = ["unreadable", number]
        case TaskFailure(reason=reason, detail=detail):
            fields = ["failed", reason, shown(detail)]
        case Fingerprint() | PictureResult():
            signals = [(s.type, s.value, s.quality, s.variant) for s in reply.signals]
            skipped = [(s.type, s.reason, shown(s.detail)) for s in reply.skipped]
            fields = ["seen", signals, skipped, reply.damaged]
            if isinstance(reply, Fingerprint):
                fields[:1] = ["fingerprint", reply.key, reply.size, reply.kind]
    body = _WRITER.encode(fields).encode("ascii")
    if len(body) > MAX_ANSWER:
        return encode(TaskFailure(Reason.OVER_LIMIT, f"its signals take {len(body)} bytes"))
    return body


def shown(text: str) -> str:
    """Return an explanation short and printable."""
    return replace_unprintable(text[:MAX_DETAIL], "?")


class ReplyDecoder:
    """Decodes the answers to one kind of attempt.

    *types* are wanted from it; *recipe* goes into fingerprints, None if it looks at pictures and
    must give none.  It may account for *others* although it does not compute them.
    """

    def __init__(
        self,
        types: Mapping[str, SignalType],
        recipe: tuple[str, ...] | None,
        others: Collection[str] = (),
    ) -> None:
        self.types = types
        self._recipe = recipe
        self._may_skip = {*types, *others}

    def decode(self, body: bytes) -> Reply:
        """Read an answer.  Raises Nonsense, and nothing else, whatever the bytes are."""
        try:
            fields = _READER.decode(body.decode("ascii"))
        except (ValueError, RecursionError) as error:
            raise InvalidReply("no JSON") from error
        match fields:
            case ["fingerprint", key, size, kind, list(signals), list(skipped), bool(damaged)]:
                if self._recipe is not None:
                    seen = self._seen(signals, skipped, damaged=damaged)
                    return self._whole(_text(key, _KEY), size, kind, seen)
            case ["seen", list(signals), list(skipped), bool(damaged)]:
                if self._recipe is None:
                    return self._seen(signals, skipped, damaged=damaged)
            case ["unreadable", number]:
                return Unreadable(_number(number, 4096))
            case ["failed", reason, detail]:
                return TaskFailure(_reason(reason), _detail(detail))
        raise InvalidReply("no reply")

    def _whole(self, key: str, size: object, kind: object, seen: PictureResult) -> Fingerprint:
        """Put a fingerprint together.  Raises Nonsense if it contradicts itself."""
        keys = {s.value for s in seen.signals if s.type == CONTENT_KEY_TYPE and not s.variant}
        if not keys <= {key}:
            raise InvalidReply("two keys")
        return Fingerprint(
            key=key,
            size=_number(size, 1 << 63),
            kind=_text(kind, _KIND),
            recipe=self._recipe or (),
            signals=seen.signals,
            skipped=seen.skipped,
            damaged=seen.damaged,
        )

    def _signal(self, fields: object) -> Signal:
        """Check one signal: a wanted type, a value in canonical form, a possible quality."""
        match fields:
            case [str(name), str(value), quality, variant] if name in self.types:
                pass
            case _:
                raise InvalidReply("no signal")
        try:
            canonical = self.types[name].canonical(value)
        except SignalError as error:
            raise InvalidReply("no value of its type") from error
        if canonical != value:
            raise InvalidReply("not the canonical form")
        known = None if quality is None else _number(quality, 101)
        return Signal(name, value, known, _text(variant, _VARIANT))

    def _skip(self, fields: object) -> Skip:
        """Check one account of a signal that is missing."""
        match fields:
            case [str(name), reason, detail] if name in self._may_skip:
                return Skip(name, _reason(reason), _detail(detail))
        raise InvalidReply("no skip")

    def _seen(
        self, signals: list[object], skipped: list[object], *, damaged: bool
    ) -> PictureResult:
        """Refuse what leaves a wanted type out in silence, or repeats itself."""
        seen = PictureResult(
            tuple(map(self._signal, signals)), tuple(map(self._skip, skipped)), damaged
        )
        accounted = {*(s.type for s in seen.signals), *(s.type for s in seen.skipped)}
        if len({(s.value, s.type, s.variant) for s in seen.signals}) != len(seen.signals):
            raise InvalidReply("a signal twice")
        if not accounted >= self.types.keys():
            raise InvalidReply("a wanted signal type is not accounted for")
        return seen


def _refuse(_text: str) -> NoReturn:
    """No number of ours has a fraction, is infinite or is none."""
    raise InvalidReply("not a whole number")


def _number(value: object, below: int) -> int:
    if type(value) is not int or not 0 <= value < below:
        raise InvalidReply("not a number in range")
    return value


def _text(value: object, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise InvalidReply("not a text of that form")
    return value


def _detail(value: object) -> str:
    if not isinstance(value, str) or not is_printable_line(value, MAX_DETAIL):
        raise InvalidReply("not an explanation")
    return value


def _reason(value: object) -> Reason:
    try:
        return Reason(value)  # type: ignore[arg-type]  # any value may be tried
    except ValueError as error:
        raise InvalidReply("no reason of ours") from error


_WRITER = json.JSONEncoder(separators=(",", ":"))
_READER = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse)


def plan_to_fields(plan: Plan) -> dict[str, Any]:
    """Give a plan as what JSON can carry, for the way from the scanner to its nursery."""
    return asdict(plan)


def plan_from_fields(fields: dict[str, Any]) -> Plan:
    """Take a plan back out of it."""
    limits = Limits(**fields.pop("limits"))
    return Plan(**{name: _frozen(value) for name, value in fields.items()}, limits=limits)


def _frozen(value: Any) -> Any:
    """Turn lists into the tuples they were."""
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value

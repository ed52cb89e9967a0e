"""What passes between the scanner and a worker, and the one place that distrusts it.

A request is :data:`REQUEST` with one open descriptor beside it (SCM_RIGHTS, unix(7)); an answer
is :data:`ANSWER` followed by one JSON array in ASCII::

    ["fingerprint", key, size, kind, [[type, value, quality, variant], …],
                                     [[type, reason, detail], …], damaged]
    ["unreadable", errno]
    ["failed", reason, detail]

The worker may have been taken over by the picture it decoded, so :meth:`Codec.decode` believes
nothing: it checks every type, length and form, and that every wanted signal type is either there
or accounted for.  A worker can still lie about the content it was given; it cannot crash the
scanner, fill its memory, or smuggle in a value that nobody asked for.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, NoReturn

from hashwacht.errors import SignalError
from hashwacht.fingerprint.plan import Limits, Plan
from hashwacht.ports import SignalType
from hashwacht.types import CONTENT_KEY_TYPE, Fingerprint, Reason, Signal, Skip

REQUEST = struct.Struct("!IB")
"""Number of the task, and which :class:`Attempt`."""

ANSWER = struct.Struct("!IIB")
"""Length of what follows in bytes, number of the task, 1 if the worker ends after it."""

MAX_ANSWER = 256 << 10
"""Bytes.  64 frames with all eight orientations of PDQ are about 70 KiB."""

MAX_DETAIL = 200
"""Characters of an explanation."""

_KEY = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[ -~]{1,128}")
_VARIANT = re.compile(r"[!-~]{0,64}")


class Attempt(IntEnum):
    """What is asked of a worker."""

    WHOLE = 0
    """Everything in the plan."""
    DIGESTS = 1
    """Only what needs no decoder: after the first attempt has failed."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The file system refused while the content was read."""

    errno: int


@dataclass(frozen=True, slots=True)
class Failed:
    """No fingerprint came out of an attempt, and why."""

    reason: Reason
    detail: str = ""


Reply = Fingerprint | Unreadable | Failed


class Nonsense(ValueError):
    """Bytes that no worker of ours would send."""


def encode(reply: Reply) -> bytes:
    """Write a reply; one that is too long becomes a failure that says so."""
    match reply:
        case Unreadable(errno=number):
            fields: list[object] = ["unreadable", number]
        case Failed(reason=reason, detail=detail):
            fields = ["failed", reason, shown(detail)]
        case Fingerprint():
            signals = [(s.type, s.value, s.quality, s.variant) for s in reply.signals]
            skipped = [(s.type, s.reason, shown(s.detail)) for s in reply.skipped]
            fields = ["fingerprint", reply.key, reply.size, reply.kind, signals, skipped]
            fields.append(reply.damaged)
    body = _WRITER.encode(fields).encode("ascii")
    if len(body) > MAX_ANSWER:
        return encode(Failed(Reason.OVER_LIMIT, f"its signals take {len(body)} bytes"))
    return body


def shown(text: str) -> str:
    """Make an explanation short and printable."""
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_DETAIL])


class Codec:
    """Decodes the answers to one kind of attempt: *types* are wanted, *recipe* says so."""

    def __init__(self, types: Mapping[str, SignalType], recipe: tuple[str, ...]) -> None:
        self._types = types
        self._recipe = recipe

    def decode(self, body: bytes) -> Reply:
        """Read an answer.  Raises Nonsense, and nothing else, whatever the bytes are."""
        try:
            fields = _READER.decode(body.decode("ascii"))
        except (ValueError, RecursionError) as error:
            raise Nonsense("no JSON") from error
        match fields:
            case ["fingerprint", key, size, kind, list(signals), list(skipped), bool(damaged)]:
                made = Fingerprint(
                    key=_text(key, _KEY),
                    size=_number(size, 1 << 63),
                    kind=_text(kind, _KIND),
                    recipe=self._recipe,
                    signals=tuple(self._signal(each) for each in signals),
                    skipped=tuple(self._skip(each) for each in skipped),
                    damaged=damaged,
                )
                return self._accounted(made)
            case ["unreadable", number]:
                return Unreadable(_number(number, 4096))
            case ["failed", reason, detail]:
                return Failed(_reason(reason), _detail(detail))
        raise Nonsense("no reply")

    def _signal(self, fields: object) -> Signal:
        """Check one signal: a wanted type, a value in canonical form, a possible quality."""
        match fields:
            case [str(name), str(value), quality, variant] if name in self._types:
                pass
            case _:
                raise Nonsense("no signal")
        try:
            canonical = self._types[name].canonical(value)
        except SignalError as error:
            raise Nonsense("no value of its type") from error
        if canonical != value:
            raise Nonsense("not the canonical form")
        known = None if quality is None else _number(quality, 101)
        return Signal(name, value, known, _text(variant, _VARIANT))

    def _skip(self, fields: object) -> Skip:
        """Check one account of a signal that is missing."""
        match fields:
            case [str(name), reason, detail] if name in self._types:
                return Skip(name, _reason(reason), _detail(detail))
        raise Nonsense("no skip")

    def _accounted(self, made: Fingerprint) -> Fingerprint:
        """Refuse what leaves a wanted type out in silence, repeats itself or contradicts itself."""
        present = {each.type for each in made.signals}
        if len({(s.value, s.type, s.variant) for s in made.signals}) != len(made.signals):
            raise Nonsense("a signal twice")
        if present | {each.type for each in made.skipped} != self._types.keys():
            raise Nonsense("a wanted signal type is not accounted for")
        if any(
            s.type == CONTENT_KEY_TYPE and not s.variant and s.value != made.key
            for s in made.signals
        ):
            raise Nonsense("two keys")
        return made


def _refuse(_text: str) -> NoReturn:
    """No number of ours has a fraction, is infinite or is none."""
    raise Nonsense("not a whole number")


def _number(value: object, below: int) -> int:
    if type(value) is not int or not 0 <= value < below:
        raise Nonsense("not a number in range")
    return value


def _text(value: object, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise Nonsense("not a text of that form")
    return value


def _detail(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_DETAIL or not value.isprintable():
        raise Nonsense("not an explanation")
    return value


def _reason(value: object) -> Reason:
    try:
        return Reason(value)  # type: ignore[arg-type]  # any value may be tried
    except ValueError as error:
        raise Nonsense("no reason of ours") from error


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

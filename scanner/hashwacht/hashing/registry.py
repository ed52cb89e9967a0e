"""What computes the signal types: the interfaces, the built-in hashers, operators' programs.

An operator's signal type is computed by one of three interfaces on top of
:class:`hashwacht.core.ports.SignalType` (see :mod:`hashwacht.signal_types`).  The built-in types
implement the same ones.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.hash64 import phash_quality
from hashwacht.core.ports import SignalType
from hashwacht.core.signals import (
    BUILT_IN,
    DIGESTS,
    PICTURE_HASHES,
    HexSignalType,
    TextSignalType,
    signal_types,
)
from hashwacht.core.types import QUICK, QUICK_ERROR_BITS, Signal
from hashwacht.core.views import ViewKind, join_variant
from hashwacht.hashing import Plan
from hashwacht.hashing.phash import phash
from hashwacht.hashing.picture import Picture
from hashwacht.hashing.views import turns_of, upright_signals
from hashwacht.platform.subprocess import STDOUT, run_program

HashFunction = Callable[[Picture], Sequence[Signal]]

_MAX_COMMAND_OUTPUT = 64 * 1024
"""Bytes; a program that prints more has not printed a hash."""


class DigestState(Protocol):
    """A digest in progress; every object of :mod:`hashlib` is one."""

    def update(self, chunk: bytes, /) -> None:
        """Hash the next bytes of the content."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""


@runtime_checkable
class Digest(SignalType, Protocol):
    """A signal type computed from all bytes of a content, whatever its kind."""

    def new(self) -> DigestState:
        """Return the state for a new content.  Calls of several threads may overlap."""


@runtime_checkable
class PictureHash(SignalType, Protocol):
    """A signal type computed from a decoded still picture."""

    def signals(self, picture: Picture) -> Sequence[Signal]:
        """Hash one still: usually one signal.  May raise: then the type counts as skipped.

        Called for every distinct frame of an animation; Hashwacht adds ``frame:N`` to the
        variant.  Calls of several threads may overlap.
        """


@runtime_checkable
class EncodedPictureHash(SignalType, Protocol):
    """A signal type computed from the bytes of a picture file by a decoder of its own."""

    def signals_from_bytes(self, original: bytes, kind: str) -> Sequence[Signal]:
        """Hash one picture file, *kind* being its MIME type.  May raise."""


Hasher = Digest | PictureHash | EncodedPictureHash


def hashers(plan: Plan) -> list[Hasher]:
    """Return what computes the types of *plan*, in its order, each once.

    Raises ConfigurationError for a type that is unknown or cannot be computed, and for a command
    with the name of a built-in type.
    """
    commands = dict(plan.commands)
    for name in commands.keys() & BUILT_IN:
        raise ConfigurationError(
            f"a command cannot replace the built-in signal type {name!r}",
            advice="Use another name for what the command prints.",
        )
    planned: list[Hasher] = []
    for name in dict.fromkeys(plan.types):
        if name in commands:
            argv, seconds = commands[name], plan.limits.timeout / 2
            planned.append(CommandHash(name, argv=argv, seconds=seconds))
        elif name in BUILT_IN_HASHERS:
            planned.append(BUILT_IN_HASHERS[name])
        else:
            planned.append(_as_hasher(signal_types([name])[name]))
    return planned


def _as_hasher(signal_type: SignalType) -> Hasher:
    if isinstance(signal_type, Digest | PictureHash | EncodedPictureHash):
        return signal_type
    raise ConfigurationError(
        f"the signal type {signal_type.name!r} can be compared but not computed",
        advice="Give its class new(), signals() or signals_from_bytes(): see"
        " hashwacht.signal_types; or configure a command in [fingerprint.commands].",
    )


class CommandFailed(Exception):
    """The program did not print a hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHash(TextSignalType):
    """An operator's program, run once for each picture file; its standard output is the hash.

    The program gets the file's bytes on standard input and nothing else about it.  It must end
    with exit code 0 within *seconds*, or it is killed with its children.
    """

    argv: tuple[str, ...]
    seconds: float

    def signals_from_bytes(self, original: bytes, kind: str) -> Sequence[Signal]:  # noqa: ARG002 - a command reads the kind from the bytes
        """Return the hash of one picture file.  Raises CommandFailed, OSError or ValueError."""
        result = run_program(
            self.argv,
            original,
            self.seconds,
            capture=(STDOUT,),
            max_output=_MAX_COMMAND_OUTPUT,
            stop_at_max_output=True,
            environment=os.environ,
        )
        if result.code != 0:
            raise CommandFailed(f"{self.argv[0]!r} {result.end}")
        return [Signal(self.name, self.canonical(result.output.decode("ascii")))]


@dataclass(frozen=True, slots=True)
class HashlibDigest(HexSignalType):
    """A digest of the standard library."""

    def new(self) -> DigestState:
        """Return the state for a new content."""
        return hashlib.new(self.name, usedforsecurity=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HexPictureHash(HexSignalType):
    """A picture hash written in hexadecimal."""

    hash_function: HashFunction

    def signals(self, picture: Picture) -> Sequence[Signal]:
        """Hash one still."""
        return self.hash_function(picture)


def _pdq(picture: Picture) -> list[Signal]:
    from hashwacht.hashing.pdq import pdq, quick_pdq

    turns, quick = turns_of(picture), None
    if picture.reduced and picture.quick:
        quick = quick_pdq(picture.reduced, all_orientations=len(turns) > 1)
    result = quick or pdq(picture.pixels, all_orientations=len(turns) > 1)
    mark = QUICK if quick or picture.sampled else ""
    stored, *turned = [
        Signal("pdq", result.hashes[turn], result.quality, join_variant(turn, mark))
        for turn, name in turns.items()
        if name != ViewKind.SHOWN or ViewKind.TURNED in picture.views
    ]
    return [stored, *upright_signals(picture), *turned]


def _hash64(name: str, picture: Picture) -> list[Signal]:
    """Return the hash of ``imagehash.phash`` or ``dhash``, quick if that is certain enough.

    Only uncertain bits were ever seen to be off, so there may be as many as a hash may be off.
    """
    if picture.quick:
        quick = picture.quick64[0 if name == "phash64" else 1]
        if quick.uncertain_bits <= QUICK_ERROR_BITS[name] and quick.quality is not None:
            return [Signal(name, quick.value, quick.quality, QUICK)]
    mark = QUICK if picture.sampled else ""
    if name == "phash64":
        value = phash(picture.grey)
        return [Signal(name, value, phash_quality(picture.quality64, int(value, 16)), mark)]
    import imagehash

    return [Signal(name, str(imagehash.dhash(picture.samples64)), picture.quality64, mark)]


_HASH_FUNCTIONS: Mapping[str, HashFunction] = {
    "pdq": _pdq,
    "phash64": partial(_hash64, "phash64"),
    "dhash64": partial(_hash64, "dhash64"),
}

BUILT_IN_HASHERS: Mapping[str, Digest | PictureHash] = {
    **{digest.name: HashlibDigest(*astuple(digest)) for digest in DIGESTS},
    **{
        kind.name: HexPictureHash(*astuple(kind), hash_function=_HASH_FUNCTIONS[kind.name])
        for kind in PICTURE_HASHES
    },
}

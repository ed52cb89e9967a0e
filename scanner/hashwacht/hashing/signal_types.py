"""What computes signals: three small capabilities on top of a signal type, and who has them.

An operator's signal type (entry-point group ``hashwacht.core.signals``) follows
:class:`hashwacht.core.ports.SignalType` and one of these protocols; those that come with Hashwacht
are found and called in no other way::

    class PhotoDNA:
        name, version, bits, perceptual = "photodna", 1, 1152, False
        def canonical(self, value): ...
        def distance(self, one, other): ...
        def examples(self): ...
        def signals(self, picture):
            return [Signal("photodna", licensed.hash(picture.rgb))]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from hashwacht.core.errors import ConfigurationError
from hashwacht.hashing.picture import Picture
from hashwacht.hashing.plan import Plan
from hashwacht.core.ports import SignalType
from hashwacht.core.signals import BUILT_IN, signal_types
from hashwacht.core.types import Signal


class Running(Protocol):
    """A digest under way; every object of :mod:`hashlib` is one."""

    def update(self, chunk: bytes, /) -> None:
        """Take the next bytes of the content."""

    def hexdigest(self) -> str:
        """Give the digest of everything taken so far."""


@runtime_checkable
class Digest(SignalType, Protocol):
    """A signal type computed from all bytes of a content, whatever its kind."""

    def new(self) -> Running:
        """Begin a content.  Calls of several threads may overlap."""


@runtime_checkable
class PictureHash(SignalType, Protocol):
    """A signal type computed from a decoded still picture."""

    def signals(self, picture: Picture) -> Sequence[Signal]:
        """Hash one still: usually one signal.  May raise: then the type counts as skipped.

        Called for every distinct frame of an animation; Hashwacht itself adds ``frame:N`` to
        the variant.  Calls of several threads may overlap.
        """


@runtime_checkable
class OriginalHash(SignalType, Protocol):
    """A signal type computed from the bytes of a picture file by a decoder of its own."""

    def signals_of_original(self, original: bytes, kind: str) -> Sequence[Signal]:
        """Hash one picture file, *kind* being its MIME type.  May raise."""


Hasher = Digest | PictureHash | OriginalHash


def hashers(plan: Plan) -> list[Hasher]:
    """Give what computes the types of *plan*, in its order, each once.

    Raises ConfigurationError for a type that is unknown, or that nobody here can compute, and
    for a command under the name of a built-in type.
    """
    from hashwacht.hashing.built_in import BUILT_IN_HASHERS
    from hashwacht.hashing.command import CommandHash

    commands = dict(plan.commands)
    for name in commands.keys() & BUILT_IN:
        raise ConfigurationError(
            f"a command cannot stand for the built-in signal type {name!r}",
            advice="Give what the command prints a name of its own.",
        )
    found: list[Hasher] = []
    for name in dict.fromkeys(plan.types):
        if name in commands:
            found.append(CommandHash(name, argv=commands[name], seconds=plan.limits.seconds / 2))
        elif name in BUILT_IN_HASHERS:
            found.append(BUILT_IN_HASHERS[name])
        else:
            found.append(_able(signal_types([name])[name]))
    return found


def _able(signal_type: SignalType) -> Hasher:
    """Check that an operator's type can be computed, not only compared."""
    if isinstance(signal_type, Digest | PictureHash | OriginalHash):
        return signal_type
    raise ConfigurationError(
        f"the signal type {signal_type.name!r} can be compared but not computed",
        advice="Give its class new(), signals() or signals_of_original(): see"
        " hashwacht.hashing.signal_types; or name a command that hashes.",
    )

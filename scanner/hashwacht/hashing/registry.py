"""The signal types that come with Hashwacht, now able to compute themselves.

What computes signals: three small capabilities on top of a signal type, and who has them.

An operator's signal type (entry-point group ``hashwacht.signal_types``) follows
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

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.ports import SignalType
from hashwacht.core.signals import BUILT_IN, DIGESTS, PICTURE_HASHES, HexSignalType, signal_types
from hashwacht.core.types import QUICK, QUICK_ERROR_BITS, Signal
from hashwacht.hashing.picture import Picture
from hashwacht.hashing.plan import Plan


class DigestState(Protocol):
    """A digest under way; every object of :mod:`hashlib` is one."""

    def update(self, chunk: bytes, /) -> None:
        """Take the next bytes of the content."""

    def hexdigest(self) -> str:
        """Give the digest of everything taken so far."""


@runtime_checkable
class Digest(SignalType, Protocol):
    """A signal type computed from all bytes of a content, whatever its kind."""

    def new(self) -> DigestState:
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
class EncodedPictureHash(SignalType, Protocol):
    """A signal type computed from the bytes of a picture file by a decoder of its own."""

    def signals_from_bytes(self, original: bytes, kind: str) -> Sequence[Signal]:
        """Hash one picture file, *kind* being its MIME type.  May raise."""


Hasher = Digest | PictureHash | EncodedPictureHash


def hashers(plan: Plan) -> list[Hasher]:
    """Give what computes the types of *plan*, in its order, each once.

    Raises ConfigurationError for a type that is unknown, or that nobody here can compute, and
    for a command under the name of a built-in type.
    """
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
            found.append(CommandHash(name, argv=commands[name], seconds=plan.limits.timeout / 2))
        elif name in BUILT_IN_HASHERS:
            found.append(BUILT_IN_HASHERS[name])
        else:
            found.append(_able(signal_types([name])[name]))
    return found


def _able(signal_type: SignalType) -> Hasher:
    """Check that an operator's type can be computed, not only compared."""
    if isinstance(signal_type, Digest | PictureHash | EncodedPictureHash):
        return signal_type
    raise ConfigurationError(
        f"the signal type {signal_type.name!r} can be compared but not computed",
        advice="Give its class new(), signals() or signals_from_bytes(): see"
        " hashwacht.signal_types; or configure a command in [fingerprint.commands].",
    )


if TYPE_CHECKING:
    from PIL.Image import Image

HashFunction = Callable[[Picture], Sequence[Signal]]

_MOST_DOUBTS = QUICK_ERROR_BITS
"""Only bits in doubt were ever seen to be off; so no more may be in doubt than may be off."""


@dataclass(frozen=True, slots=True)
class HashlibDigest(HexSignalType):
    """A digest of the standard library."""

    def new(self) -> DigestState:
        """Begin a content."""
        return hashlib.new(self.name, usedforsecurity=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HexPictureHash(HexSignalType):
    """A picture hash written in hexadecimal."""

    hash_function: HashFunction

    def signals(self, picture: Picture) -> Sequence[Signal]:
        """Hash one still."""
        return self.hash_function(picture)


def _pdq(picture: Picture) -> list[Signal]:
    """PDQ, with its quality, and turned if the plan says so."""
    from hashwacht.hashing.pdq import pdq, quick_pdq

    all_orientations = picture.orientations
    made = (
        quick_pdq(picture.reduced, all_orientations=all_orientations) if picture.reduced else None
    )
    mark = QUICK if made else ""
    made = made or pdq(picture.pixels, all_orientations=all_orientations)
    return [
        Signal("pdq", value, made.quality, "/".join(filter(None, (variant, mark))))
        for variant, value in made.hashes.items()
    ]


def _phash64(picture: Picture) -> list[Signal]:
    """``imagehash.phash(image)``, from the shared grey picture."""
    if picture.quick and (made := picture.quick64[0]).uncertain_bits <= _MOST_DOUBTS["phash64"]:
        return [Signal("phash64", made.value, variant=QUICK)]
    import imagehash

    return [Signal("phash64", str(imagehash.phash(_grey_already(picture.grey))))]


def _dhash64(picture: Picture) -> list[Signal]:
    """``imagehash.dhash(image)``, as above."""
    if picture.quick and (made := picture.quick64[1]).uncertain_bits <= _MOST_DOUBTS["dhash64"]:
        return [Signal("dhash64", made.value, variant=QUICK)]
    import imagehash

    return [Signal("dhash64", str(imagehash.dhash(_grey_already(picture.grey))))]


class _Grey:
    """What imagehash needs of a picture: it converts it to grey first of all, then resizes that."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def convert(self, mode: str) -> Image:
        """Give the picture itself: Pillow would copy it whole."""
        assert mode == self._image.mode
        return self._image


def _grey_already(image: Image) -> Image:
    return cast("Image", _Grey(image))


_HASHING: Mapping[str, HashFunction] = {"pdq": _pdq, "phash64": _phash64, "dhash64": _dhash64}


BUILT_IN_HASHERS: Mapping[str, Digest | PictureHash] = {
    **{each.name: HashlibDigest(*astuple(each)) for each in DIGESTS},
    **{
        each.name: HexPictureHash(*astuple(each), hash_function=_HASHING[each.name])
        for each in PICTURE_HASHES
    },
}

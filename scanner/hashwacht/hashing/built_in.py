"""The signal types that come with Hashwacht, now able to compute themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, cast

from hashwacht.hashing.picture import Picture
from hashwacht.hashing.signal_types import Digest, PictureHash, Running
from hashwacht.core.signals import DIGESTS, PICTURE_HASHES, HexSignalType
from hashwacht.core.types import QUICK, QUICK_BITS, Signal

if TYPE_CHECKING:
    from PIL.Image import Image

Hashing = Callable[[Picture], Sequence[Signal]]

_MOST_DOUBTS = QUICK_BITS
"""Only bits in doubt were ever seen to be off; so no more may be in doubt than may be off."""


@dataclass(frozen=True, slots=True)
class HashlibDigest(HexSignalType):
    """A digest of the standard library."""

    def new(self) -> Running:
        """Begin a content."""
        return hashlib.new(self.name, usedforsecurity=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HexPictureHash(HexSignalType):
    """A picture hash written in hexadecimal."""

    hashing: Hashing

    def signals(self, picture: Picture) -> Sequence[Signal]:
        """Hash one still."""
        return self.hashing(picture)


def _pdq(picture: Picture) -> list[Signal]:
    """PDQ, with its quality, and turned if the plan says so."""
    from hashwacht.hashing.pdq import pdq, quick_pdq

    turned = picture.orientations
    made = quick_pdq(picture.reduced, turned=turned) if picture.reduced else None
    mark = QUICK if made else ""
    made = made or pdq(picture.pixels, turned=turned)
    return [
        Signal("pdq", value, made.quality, "/".join(filter(None, (variant, mark))))
        for variant, value in made.hashes.items()
    ]


def _phash64(picture: Picture) -> list[Signal]:
    """``imagehash.phash(image)``, from the shared grey picture."""
    if picture.quick and (made := picture.quick64[0]).doubts <= _MOST_DOUBTS["phash64"]:
        return [Signal("phash64", made.value, variant=QUICK)]
    import imagehash

    return [Signal("phash64", str(imagehash.phash(_grey_already(picture.grey))))]


def _dhash64(picture: Picture) -> list[Signal]:
    """``imagehash.dhash(image)``, as above."""
    if picture.quick and (made := picture.quick64[1]).doubts <= _MOST_DOUBTS["dhash64"]:
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


_HASHING: Mapping[str, Hashing] = {"pdq": _pdq, "phash64": _phash64, "dhash64": _dhash64}


BUILT_IN_HASHERS: Mapping[str, Digest | PictureHash] = {
    **{each.name: HashlibDigest(*astuple(each)) for each in DIGESTS},
    **{
        each.name: HexPictureHash(*astuple(each), hashing=_HASHING[each.name])
        for each in PICTURE_HASHES
    },
}

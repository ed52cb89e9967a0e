"""PDQ of the views of a picture: what a person sees in it, beside the pixels as stored.

All views are computed from one decode.  Rotations and reflections cost nothing but the sign of some
frequencies.  Regions are searched in and cut from grey samples of the picture, for a JPEG the same
reduced ones whether or not other hashes may be a few bits off: so their hashes are always equal.

What the parts of a variant mean, and which lists are asked about them, see
:mod:`hashwacht.core.views`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from hashwacht.core.ports import SignalType
from hashwacht.core.types import Signal
from hashwacht.core.views import REGION_KINDS, TURNS, VIEWED_TYPE, WHITE, ViewKind, join_variant
from hashwacht.hashing.grey import GreyImage, crop, shrink, turned_grey
from hashwacht.hashing.picture import Picture
from hashwacht.hashing.views import regions, shown

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_HASHES = 12
"""Hashes of one still, each with all its orientations."""

_UNTURNED = ""
_STORED = ""
_VERSIONS: Mapping[ViewKind, int] = MappingProxyType(
    {
        ViewKind.SHOWN: shown.VERSION,
        ViewKind.TURNED: 1,
        **dict.fromkeys(REGION_KINDS, regions.VERSION),
    }
)


def view_recipe(hasher: SignalType, views: Collection[ViewKind]) -> Iterator[str]:
    """Yield a recipe entry for each kind of view, with the version of its algorithm."""
    for kind in ViewKind:
        if kind in views:
            yield f"{hasher.name}/{hasher.version}/{kind}/{_VERSIONS[kind]}"


def turns_of(picture: Picture) -> dict[str, str]:
    """Return the orientations to hash and the name of each in a variant, the stored one first.

    The orientation that a browser applies is called ``shown``.
    """
    names = dict.fromkeys((_UNTURNED,), "")
    if ViewKind.SHOWN in picture.views and (turn := shown.orientation(picture.header)):
        names[turn] = ViewKind.SHOWN
    if ViewKind.TURNED in picture.views:
        names |= {turn: turn for turn in TURNS if turn not in names}
    return names


def view_signals(picture: Picture) -> list[Signal]:
    """Return PDQ hashes of all views but the orientations of the stored picture.

    Not more than MAX_HASHES, that of the stored picture included; the surest views come first.
    """
    shown_images = list(_shown_images(picture)) if ViewKind.SHOWN in picture.views else []
    signals = [signal for name, image in shown_images for signal in _of_image(name, image, picture)]
    left = MAX_HASHES - 2 - len(shown_images)
    if picture.views & REGION_KINDS:
        sources = {_STORED: picture.small_grey}
        sources |= {name: shrink(image) for name, image in shown_images if name == WHITE}
        parts = [part for name, grey in sources.items() for part in _parts(name, grey, picture)]
        for name, grey in parts[:left]:
            signals += _of_part(name, grey, picture)
    return signals


def upright_signals(picture: Picture) -> Iterator[Signal]:
    """Yield the hash of the pixels as a browser turns them, if it does.

    It goes before other orientations, of which one may be equal: services are asked what is shown.
    The frequencies of the stored pixels, with other signs, are those of samples between the
    samples of the turned ones: in a small picture with much texture up to 20 bits are off.
    """
    from hashwacht.hashing.pdq import view_pdq

    turn = shown.orientation(picture.header) if ViewKind.SHOWN in picture.views else ""
    if turn:
        result = view_pdq(turned_grey(picture.small_grey, turn))
        yield Signal(VIEWED_TYPE, result.hashes[_UNTURNED], result.quality, ViewKind.SHOWN)


def _shown_images(picture: Picture) -> Iterator[tuple[str, Image]]:
    """Yield what a browser shows where the colours differ, turned as it turns it."""
    if picture.reduced is not None:  # its colours are shown as they are
        return
    turn = shown.orientation(picture.header)
    for name, image in shown.shown_views(picture.decoded):
        yield name, _turned(image, turn)


def _turned(image: Image, turn: str) -> Image:
    """Return the image in another orientation; Pillow's names differ."""
    from PIL.Image import Transpose

    if not turn:
        return image
    names = {"flip": Transpose.FLIP_TOP_BOTTOM, "flop": Transpose.FLIP_LEFT_RIGHT}
    names |= {f"rotate{method.name.removeprefix('ROTATE_')}": method for method in Transpose}
    names |= {method.name.lower(): method for method in Transpose}
    return image.transpose(names[turn])


def _of_image(name: str, image: Image, picture: Picture) -> Iterator[Signal]:
    from hashwacht.hashing.pdq import pdq

    turned = ViewKind.TURNED in picture.views
    result = pdq(np.asarray(image), all_orientations=turned)
    for turn, value in result.hashes.items():
        yield Signal(VIEWED_TYPE, value, result.quality, join_variant(name, turn))


def _parts(name: str, grey: GreyImage, picture: Picture) -> Iterator[tuple[str, GreyImage]]:
    for region in regions.regions(np.asarray(grey.pixels)):
        if region.name in picture.views:
            part = crop(grey, region.top, region.left, region.bottom, region.right)
            yield join_variant(name, region.name), part


def _of_part(name: str, part: GreyImage, picture: Picture) -> Iterator[Signal]:
    from hashwacht.hashing.pdq import view_pdq

    turns = turns_of(picture)
    result = view_pdq(part, all_orientations=len(turns) > 1)
    for turn, word in turns.items():
        parts = (word, name) if word == ViewKind.SHOWN else (name, word)
        yield Signal(VIEWED_TYPE, result.hashes[turn], result.quality, join_variant(*parts))

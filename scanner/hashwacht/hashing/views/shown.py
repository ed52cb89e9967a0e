"""What a browser shows of a picture, where that differs from the pixels as stored.

``tests/integration/hashing/test_shown.py`` asks the browser that is installed.  Chromium 156:

===========  ===================================================================================
turned by    EXIF in JPEG, and in PNG before the pixels, if of type SHORT; by ``irot`` and ``imir``
             in AVIF; not by XMP
not turned   WebP, although it has EXIF: its ``shown`` is what other browsers display
colours      see :mod:`~hashwacht.hashing.views.colours`
transparent  colours are converted, then blended on the page
===========  ===================================================================================

The decoders of TIFF and HEIC turn the picture themselves, and remove the tag.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from hashwacht.hashing.grey import MIN_REDUCED_SIDE
from hashwacht.hashing.views.colours import conversions
from hashwacht.hashing.views.hdr import Conversion

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = 3
"""Increased when the same file may have other views than before."""

_TURNS: Mapping[int, str] = MappingProxyType(
    {
        2: "flop",
        3: "rotate180",
        4: "flip",
        5: "transpose",
        6: "rotate270",
        7: "transverse",
        8: "rotate90",
    }
)
"""EXIF 2.32, tag Orientation: how the stored picture is turned to be upright."""

_ORIENTATION, _SHORT = 0x0112, 3
_EXIF_HEAD = b"Exif\0\0"
_ORDERS: Mapping[bytes, str] = MappingProxyType({b"II*\0": "<", b"MM\0*": ">"})
_ENTRY = 12

_VISIBLE = 6
"""Grey levels by which some area of a view has to differ from the stored picture."""

_AREAS = 32
"""Areas along each axis that are compared."""

_16_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})


def orientation(image: Image) -> str:
    """Return the orientation in which a browser shows an opened image; empty if as stored."""
    exif = image.info.get("exif")
    return _TURNS.get(_orientation(exif), "") if isinstance(exif, bytes) else ""


def _orientation(exif: bytes) -> int:
    """Return the tag Orientation of the first directory, 0 if there is none (TIFF 6.0, section 2).

    Pillow's reader also accepts other types and XMP, which browsers ignore.
    """
    directory = exif.removeprefix(_EXIF_HEAD)
    order = _ORDERS.get(directory[:4])
    try:
        if order is None:
            return 0
        (start,) = struct.unpack_from(f"{order}I", directory, 4)
        (count,) = struct.unpack_from(f"{order}H", directory, start)
        for entry in range(start + 2, start + 2 + count * _ENTRY, _ENTRY):
            fields = struct.unpack_from(f"{order}HHIH", directory, entry)
            if fields[:3] == (_ORIENTATION, _SHORT, 1):
                return int(fields[3])
    except struct.error:
        pass
    return 0


def needs_full_decode(image: Image) -> bool:
    """Return whether the colours of an opened JPEG are shown otherwise than they are stored."""
    return bool(conversions(image))


def shown_views(image: Image) -> Iterator[tuple[str, Image]]:
    """Yield the names and pixels of what is shown, no larger than a hash needs, not turned.

    ``shown`` has other colours; ``white`` and ``black`` are a transparent picture on such pages.
    Only what differs visibly from the stored pixels without their transparency is yielded.
    """
    converts = conversions(image)
    if not converts and not image.has_transparency_data:
        return
    plain = _eight_bits(image)
    layers = plain.convert("RGBA") if plain.has_transparency_data else None
    stored = _reduced(plain.convert("RGB") if layers is None else layers.convert("RGB"))
    for convert in converts:
        shown = convert(_reduced(plain) if plain.mode in {"L", "CMYK"} else stored)
        if _differs(shown, stored):
            yield "shown", shown
    if layers is None or layers.getchannel("A").getextrema() == (255, 255):
        return
    for shown_layers in [_converted(layers, convert) for convert in converts] or [layers]:
        for name, page in _pages(_reduced(shown_layers.convert("RGBa"))):
            if _differs(page, stored):
                yield name, page


def _converted(layers: Image, convert: Conversion) -> Image:
    """Return the layers in other colours, as transparent as before."""
    result = convert(layers.convert("RGB"))
    result.putalpha(layers.getchannel("A"))
    return result


def _pages(layers: Image) -> Iterator[tuple[str, Image]]:
    """Blend premultiplied colours (mode RGBa) on white and on black pages."""
    from PIL import Image as Pillow
    from PIL import ImageChops

    *bands, alpha = layers.split()
    black = Pillow.merge("RGB", bands)
    ground = ImageChops.invert(alpha)
    yield "white", ImageChops.add(black, Pillow.merge("RGB", [ground] * 3))
    yield "black", black


def _eight_bits(image: Image) -> Image:
    """Return the upper half of 16-bit grey, which Pillow would clip."""
    if image.mode not in _16_BIT_MODES:
        return image
    from PIL import Image as Pillow

    grey = Pillow.fromarray((np.asarray(image, np.uint16) >> 8).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey.info["transparency"] = key >> 8
    return grey


def _reduced(image: Image) -> Image:
    step = min(image.size) // MIN_REDUCED_SIDE
    return image.reduce(step) if step > 1 else image


def _differs(one: Image, other: Image) -> bool:
    """Return whether some area of two pictures of one size has another brightness."""
    from PIL.Image import Resampling

    size = (min(_AREAS, one.width), min(_AREAS, one.height))
    areas = [
        np.asarray(image.convert("L").resize(size, Resampling.BOX), np.int16)
        for image in (one, other)
    ]
    return bool(np.abs(areas[0] - areas[1]).max() > _VISIBLE)

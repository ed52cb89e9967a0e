"""What a browser shows of a picture, where that differs from the pixels as stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = 1
"""Increased when the same file may have other views than before."""

_ORIENTATION_TAG = 0x0112
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


def orientation(image: Image) -> str:
    """Return the orientation in which a browser shows an opened image; empty if as stored."""
    return _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1), "")


def needs_full_decode(image: Image) -> bool:
    """Return whether the colours of an opened JPEG are shown otherwise than they are stored."""
    del image
    return False


def shown_views(image: Image) -> Iterator[tuple[str, Image]]:
    """Yield the names and pixels of what is shown: a transparent picture on white and on black."""
    from PIL import Image as Pillow

    if not image.has_transparency_data:
        return
    layers = image.convert("RGBA")
    if layers.getchannel("A").getextrema() == (255, 255):
        return
    for name, colour in (("white", (255, 255, 255, 255)), ("black", (0, 0, 0, 255))):
        page = Pillow.new("RGBA", layers.size, colour)
        yield name, Pillow.alpha_composite(page, layers).convert("RGB")

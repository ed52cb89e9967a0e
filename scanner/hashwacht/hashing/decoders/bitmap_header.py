"""The headers of a BMP, of each length that a browser accepts.

Sources: Microsoft's BITMAPCOREHEADER to BITMAPV5HEADER, IBM's OS/2 2.x bitmap header, which may end
after any field, and what Chromium's decoder makes of both.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

Layout = Literal["packed", "rle8", "rle4", "rle24", "jpeg", "png"]

FILE_HEADER = 14
"""Bytes before the bitmap header."""

_CORE = 12
_WINDOWS = frozenset({40, 52, 56, 108, 124})
_MASKS_AT, _ALPHA_MASK_END = 40, 56

HEADER_LENGTHS = _WINDOWS | {_CORE, 42, 46} | frozenset(range(16, 65, 4))
"""Those of Windows, and of OS/2 1.x (12) and 2.x (16 to 64)."""

_LAYOUTS: dict[int, Layout] = {0: "packed", 1: "rle8", 2: "rle4", 3: "packed", 6: "packed"}
_EMBEDDED: dict[int, Layout] = {4: "jpeg", 5: "png"}
_RLE24 = 4
_HAS_MASKS = frozenset({3, 6})
_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32})
_INDEXED = 8
_DEFAULT_MASKS = {
    16: (0x7C00, 0x3E0, 0x1F, 0),
    24: (0xFF0000, 0xFF00, 0xFF, 0),
    32: (0xFF0000, 0xFF00, 0xFF, 0),
}


class UnreadableBitmap(OSError):
    """A header that no browser accepts."""


@dataclass(frozen=True, slots=True)
class BitmapHeader:
    """How the pixels of a bitmap are stored.

    *bits* a pixel; *masks*: those of red, green, blue and alpha; *colours*: entries of the palette
    in the file, of *entry* bytes each, at *palette_at*.
    """

    length: int
    width: int
    height: int
    top_down: bool
    bits: int
    layout: Layout
    masks: tuple[int, int, int, int]
    palette_at: int
    entry: int
    colours: int
    pixels_at: int

    @property
    def stride(self) -> int:
        """Bytes of a row that is not compressed."""
        return (self.width * self.bits + 31) // 32 * 4


def read_bitmap_header(content: bytes, at: int, pixels_at: int = 0) -> BitmapHeader:
    """Read the header at *at*; pixels follow the palette unless *pixels_at* is not 0.

    Raises UnreadableBitmap, struct.error.
    """
    (length,) = struct.unpack_from("<I", content, at)
    if length == _CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", content, at + 4)
        compression = used = 0
    elif length in HEADER_LENGTHS:
        fields = content[at + 4 : at + length].ljust(36, b"\0")
        width, height, _, bits, compression, *_, used, _ = struct.unpack_from("<iiHHIIiiII", fields)
    else:
        raise UnreadableBitmap(f"a bitmap header of {length} bytes")
    layout = _layout(length, bits, compression)
    masks, masks_size = _masks(content, at, length, bits, compression)
    colours = (used or 1 << bits) if bits <= _INDEXED and layout not in {"jpeg", "png"} else 0
    palette_at, entry = at + length + masks_size, 3 if length == _CORE else 4
    return BitmapHeader(
        *(length, width, abs(height), height < 0, bits, layout, masks),
        *(palette_at, entry, colours, pixels_at or palette_at + entry * colours),
    )


def begins_early(header: BitmapHeader) -> bool:
    """Return whether the pixels begin before the header and the palette end."""
    return header.pixels_at < header.palette_at + header.entry * header.colours


def _layout(length: int, bits: int, compression: int) -> Layout:
    if compression == _RLE24 and bits == _DEFAULT_RLE24_BITS:
        return "rle24"
    if compression in _EMBEDDED and length in _WINDOWS:
        return _EMBEDDED[compression]
    if compression not in _LAYOUTS or bits not in _DEPTHS:
        raise UnreadableBitmap(f"a bitmap of {bits} bits a pixel in compression {compression}")
    return _LAYOUTS[compression]


_DEFAULT_RLE24_BITS = 24


def _masks(
    content: bytes, at: int, length: int, bits: int, compression: int
) -> tuple[tuple[int, int, int, int], int]:
    """Return the masks and the bytes that they occupy after the header."""
    if compression not in _HAS_MASKS or bits not in _DEFAULT_MASKS:
        return _DEFAULT_MASKS.get(bits, (0, 0, 0, 0)), 0
    count = 4 if length >= _ALPHA_MASK_END or compression == max(_HAS_MASKS) else 3
    masks = (*struct.unpack_from(f"<{count}I", content, at + _MASKS_AT), 0)
    inside = length > _MASKS_AT
    return (masks[0], masks[1], masks[2], masks[3]), 0 if inside else 4 * count

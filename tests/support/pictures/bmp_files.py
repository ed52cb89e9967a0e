"""BMP files in every layout that a browser reads, and icons and cursors made of them.

Sources: Microsoft's BITMAPINFOHEADER to BITMAPV5HEADER, the OS/2 2.x bitmap headers, and the
Bitmap Storage and Icons reference.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[np.uint8]

RGB, RLE8, RLE4, BITFIELDS, EMBEDDED_JPEG, EMBEDDED_PNG, ALPHA_BITFIELDS = range(7)
OS2_RLE24 = 4


@dataclass(frozen=True, slots=True)
class BitmapLayout:
    """How pixels are stored.

    *header*: bytes of the header.  *masks*: the bits of red, green, blue and perhaps alpha.
    *colours*: entries of the palette, 0 for the usual number.  *gap*: unused bytes before the
    pixels.
    """

    header: int = 40
    bits: int = 24
    compression: int = RGB
    masks: Sequence[int] = ()
    colours: int = 0
    top_down: bool = False
    gap: int = 0


def bmp(picture: Image, **layout: Any) -> bytes:
    """Return a BMP with the attributes of a :class:`BitmapLayout`."""
    chosen = BitmapLayout(**layout)
    info, palette, pixels = _parts(picture, chosen)
    offset = 14 + len(info) + len(palette) + chosen.gap
    start = struct.pack("<2sIII", b"BM", offset + len(pixels), 0, offset)
    return start + info + palette + bytes(chosen.gap) + pixels


def icon(
    pictures: Sequence[Image],
    *,
    cursor: bool = False,
    bits: int = 32,
    png: bool = False,
    mask: bool = True,
) -> bytes:
    """Return an ICO, or a CUR, of *pictures*, each up to 256 pixels wide and high."""
    bodies = [_png(picture) if png else _icon_bitmap(picture, bits, mask) for picture in pictures]
    offset, entries = 6 + 16 * len(bodies), b""
    for picture, body in zip(pictures, bodies, strict=True):
        planes, depth = (3, 4) if cursor else (1, bits)
        sides = (picture.width % 256, picture.height % 256)
        entries += struct.pack("<BBBBHHII", *sides, 0, 0, planes, depth, len(body), offset)
        offset += len(body)
    return struct.pack("<HHH", 0, 2 if cursor else 1, len(bodies)) + entries + b"".join(bodies)


_565, _444, _10_BITS = (0xF800, 0x7E0, 0x1F), (0xF00, 0xF0, 0xF), (0x3FF00000, 0xFFC00, 0x3FF)
_BGR, _BGRA = (0xFF0000, 0xFF00, 0xFF), (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_LENGTHS = (12, *range(16, 65, 4), 42, 46, 108, 124)
_DEPTHS = (1, 2, 4, 8, 16, 24, 32)

_LAYOUTS: Mapping[str, Mapping[str, Any]] = {
    **{f"{length}-byte-header": {"header": length} for length in _LENGTHS},
    **{f"{bits}-bits": {"bits": bits} for bits in _DEPTHS},
    **{f"{bits}-bits-os2": {"bits": bits, "header": 12} for bits in _DEPTHS},
    **{f"{bits}-bits-top-down": {"bits": bits, "top_down": True} for bits in _DEPTHS},
    **{f"{bits}-bits-gap": {"bits": bits, "gap": 44} for bits in _DEPTHS},
    **{f"{bits}-bits-oversized-palette": {"bits": bits, "colours": 300} for bits in (1, 4, 8)},
    "8-bits-huge-palette": {"bits": 8, "colours": 70_000},
    "8-bits-small-palette": {"bits": 8, "colours": 200},
    "rle8": {"bits": 8, "compression": RLE8},
    "rle4": {"bits": 4, "compression": RLE4},
    "rle24": {"bits": 24, "header": 64, "compression": OS2_RLE24},
    "rle24-windows": {"bits": 24, "compression": OS2_RLE24},
    "embedded-jpeg": {"bits": 0, "compression": EMBEDDED_JPEG},
    "embedded-png": {"bits": 0, "header": 124, "compression": EMBEDDED_PNG},
    "alpha-bitfields": {"bits": 32, "compression": ALPHA_BITFIELDS, "masks": _BGRA},
    **{
        f"{name}-{length}": {
            "bits": bits,
            "header": length,
            "compression": BITFIELDS,
            "masks": masks,
        }
        for length in (40, 52, 56, 108, 124)
        for name, bits, masks in (
            *(("565", 16, _565), ("444", 16, _444)),
            *(("10-bits", 32, _10_BITS), ("bgr", 32, _BGR), ("rgb", 32, _BGR[::-1])),
        )
    },
    "bgra-56": {"bits": 32, "header": 56, "compression": BITFIELDS, "masks": _BGRA},
}


def bitmap_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield a BMP of every layout, with a name."""
    for name, options in _LAYOUTS.items():
        yield f"bmp-{name}", bmp(picture, **options)


def icon_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield icons and cursors of *picture*, scaled to at most 256 pixels, with names."""
    from PIL import Image as Pillow

    large = picture.resize((200, 152), Pillow.Resampling.LANCZOS)
    small = picture.resize((64, 48), Pillow.Resampling.LANCZOS)
    for cursor, name in ((False, "ico"), (True, "cur")):
        for bits in (1, 4, 8, 24, 32):
            yield f"{name}-{bits}-bits", icon([small, large], cursor=cursor, bits=bits)
        yield f"{name}-png", icon([large, small], cursor=cursor, png=True)
        yield f"{name}-without-mask", icon([large], cursor=cursor, mask=False)
        yield f"{name}-short", icon([large], cursor=cursor)[:-9000]
        yield f"{name}-png-short", icon([large], cursor=cursor, png=True)[:-3000]


def _icon_bitmap(picture: Image, bits: int, mask: bool) -> bytes:
    """Return a bitmap of double height without file header, and its mask of transparent pixels."""
    info, palette, pixels = _parts(picture, BitmapLayout(bits=bits))
    info = info[:8] + struct.pack("<i", picture.height * 2) + info[12:]
    rows = bytes(-(-picture.width // 32) * 4 * picture.height)
    return info + palette + pixels + rows * mask


def _parts(picture: Image, layout: BitmapLayout) -> tuple[bytes, bytes, bytes]:
    """Return the header, the palette and the pixels."""
    width, height = picture.size
    if layout.bits == 0:
        pixels = _png(picture) if layout.compression == EMBEDDED_PNG else _jpeg(picture)
        return _info(layout, (width, height), len(pixels)), b"", pixels
    palette, indexes = b"", np.zeros((0, 0), np.uint8)
    if layout.bits <= 8:
        count = layout.colours or 1 << layout.bits
        palette, indexes = _quantized(picture, layout.bits, count, 3 if layout.header == 12 else 4)
    if layout.compression in {RLE8, RLE4, OS2_RLE24}:
        source = indexes if palette else np.asarray(picture.convert("RGB"))[..., ::-1]
        pixels = _runs(source, layout.bits)
    else:
        rows = _rows(picture, indexes, layout)
        pixels = b"".join(rows if layout.top_down else reversed(rows))
    sides = (width, -height if layout.top_down else height)
    return _info(layout, sides, len(pixels)), palette, pixels


def _info(layout: BitmapLayout, sides: tuple[int, int], size: int) -> bytes:
    length, bits = layout.header, layout.bits
    if length == 12:
        return struct.pack("<IHHHH", length, sides[0], abs(sides[1]), 1, bits)
    numbers = (length, *sides, 1, bits, layout.compression, size, 0, 0, layout.colours, 0)
    fields = struct.pack("<IiiHHIIiiII", *numbers)
    masks = struct.pack(f"<{len(layout.masks)}I", *layout.masks)
    if length >= 52 and length != 64:
        return (fields + masks).ljust(length, b"\0")
    return fields[:length].ljust(length, b"\0") + (masks if length == 40 else b"")


def _quantized(picture: Image, bits: int, count: int, entry: int) -> tuple[bytes, Array]:
    from PIL import Image as Pillow

    reduced = picture.convert("RGB").quantize(min(1 << bits, count), dither=Pillow.Dither.NONE)
    colours = np.zeros((count, entry), np.uint8)
    used = np.array(reduced.getpalette(), np.uint8).reshape(-1, 3)[:count]
    colours[: len(used), :3] = used[:, ::-1]
    return colours.tobytes(), np.asarray(reduced)


def _rows(picture: Image, indexes: Array, layout: BitmapLayout) -> list[bytes]:
    bits = layout.bits
    if bits <= 8:
        packed = _packed(indexes, bits)
    elif bits == 24:
        packed = np.asarray(picture.convert("RGB"))[..., ::-1].reshape(picture.height, -1)
    else:
        defaults = (0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        packed = _masked(picture, bits, layout.masks or defaults)
    return [row.tobytes().ljust(-(-len(row) // 4) * 4, b"\0") for row in packed]


def _packed(indexes: Array, bits: int) -> Array:
    each = 8 // bits
    height, width = indexes.shape
    padded = np.zeros((height, -(-width // each) * each), np.uint8)
    padded[:, :width] = indexes
    groups = padded.reshape(height, -1, each)
    shifts = np.arange(8 - bits, -1, -bits)
    packed: Array = np.bitwise_or.reduce(groups << shifts.astype(np.uint8), axis=2)
    return packed


def _masked(picture: Image, bits: int, masks: Sequence[int]) -> Array:
    channels = np.asarray(picture.convert("RGBA")).astype(np.uint64)
    words = np.zeros(channels.shape[:2], np.uint64)
    for channel, mask in enumerate(masks):
        if mask:
            shift = (mask & -mask).bit_length() - 1
            most = mask >> shift
            words |= ((channels[..., channel] * most + 127) // 255) << np.uint64(shift)
    return words.astype(f"<u{bits // 8}").view(np.uint8).reshape(picture.height, -1)


def _runs(source: Array, bits: int) -> bytes:
    """Compress from the last row upwards: runs of one value, and single pixels as they are."""
    out = bytearray()
    for row in source[::-1]:
        at = 0
        while at < len(row):
            run = 1
            while at + run < len(row) and run < 255 and np.array_equal(row[at + run], row[at]):
                run += 1
            value = row[at].tobytes()
            if bits == 4:
                value = bytes([row[at] << 4 | row[at]])
            out += bytes([run]) + value
            at += run
        out += b"\0\0"
    return bytes(out + b"\0\1")


def _png(picture: Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _jpeg(picture: Image) -> bytes:
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=92)
    return file.getvalue()

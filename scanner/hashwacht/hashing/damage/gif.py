"""Damaged GIFs (GIF89a).

The rows of an interlaced GIF arrive in four passes.  Until all are there, a browser shows each row
as high as the distance to the next one.  The coded pixels are decoded as a GIF of their own, not
interlaced and without a palette: so it is known which rows were decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hashwacht.hashing.damage.part import Bytes, decode_part

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_SCREEN_END = 13
_MAX_SIDE = 0xFFFF
_EXTENSION, _IMAGE = 0x21, 0x2C
_GRAPHIC_CONTROL = 0xF9
_TABLE, _INTERLACED, _TRANSPARENT = 0x80, 0x40, 0x01
_PASSES = ((0, 8, 8), (4, 8, 4), (2, 4, 2), (1, 2, 1))
"""The first row of each pass, how far its rows are apart (appendix E), how high each is shown."""


@dataclass(frozen=True, slots=True)
class _GifFrame:
    """A frame: its place on the canvas, its palette (RGB bytes), its coded pixels."""

    left: int
    top: int
    width: int
    height: int
    interlaced: bool
    transparent: int | None
    palette: bytes
    coded: bytes


def decode(original: bytes, open_picture: Callable[[bytes], ImageFile]) -> Iterator[Image]:
    """Yield what is shown of the first frame.  Raises OSError if that is nothing."""
    from PIL import Image as Pillow

    frame = _first_frame(original)
    file = _in_file_order(frame)
    part = decode_part(lambda: open_picture(file))
    count = int(np.argmin(np.append(part.known, False)))
    if not count:
        raise part.error or OSError("no pixel of the first frame could be decoded")
    colours = _colours(np.asarray(part.decoded).reshape(-1), frame)
    colours[count:, 3] = 0
    rows = colours.reshape(frame.height, frame.width, 4)
    if frame.interlaced:
        rows = _deinterlaced(rows, count, frame)
    canvas = Pillow.new("RGBA", open_picture(original).size)
    canvas.paste(Pillow.fromarray(rows, "RGBA"), (frame.left, frame.top))
    yield canvas


def _first_frame(original: bytes) -> _GifFrame:
    """Return the first frame.  Raises OSError if the file ends before its pixels."""
    transparent: int | None = None
    palette, at = _palette(original, 10, _SCREEN_END)
    while at < len(original) and original[at] == _EXTENSION:
        if original[at + 1 : at + 2] == bytes([_GRAPHIC_CONTROL]) and at + 6 < len(original):
            transparent = original[at + 6] if original[at + 3] & _TRANSPARENT else None
        at += 2
        while at < len(original) and original[at]:
            at += 1 + original[at]
        at += 1
    if original[at : at + 1] != bytes([_IMAGE]) or at + 10 > len(original):
        raise OSError("the file ends before its first frame")
    left, top, width, height, flags = struct.unpack_from("<HHHHB", original, at + 1)
    own, coded = _palette(original, at + 9, at + 10)
    interlaced = bool(flags & _INTERLACED)
    colours = own or palette
    return _GifFrame(
        left, top, width, height, interlaced, transparent, colours, _complete(original[coded:])
    )


def _palette(original: bytes, flags_at: int, at: int) -> tuple[bytes, int]:
    """Return the colour table whose flags are at *flags_at*, and the offset after it."""
    flags = original[flags_at] if flags_at < len(original) else 0
    length = 3 << (flags & 7) + 1 if flags & _TABLE else 0
    return original[at : at + length], at + length


def _complete(coded: bytes) -> bytes:
    """Return coded pixels with a last block that is as long as it declares: Pillow waits for it."""
    at = 1
    while at < len(coded) and coded[at]:
        end = at + 1 + coded[at]
        if end > len(coded):
            return coded[:at] + bytes([len(coded) - at - 1]) + coded[at + 1 :]
        at = end
    return coded


def _in_file_order(frame: _GifFrame) -> bytes:
    """Return a grey GIF whose samples are the indexes of the frame in the order of the file.

    Its rows are as short as a GIF can have them, because Pillow keeps only complete ones.
    """
    pixels = frame.width * frame.height
    width = next(
        width
        for width in range(1, frame.width + 1)
        if frame.width % width == 0 and pixels // width <= _MAX_SIDE
    )
    size = struct.pack("<HH", width, pixels // width)
    return b"GIF89a" + size + bytes(3) + bytes([_IMAGE]) + bytes(4) + size + bytes(1) + frame.coded


def _colours(indexes: Bytes, frame: _GifFrame) -> Bytes:
    """Return the colours (n, 4) of indexes."""
    table = np.zeros((256, 4), np.uint8)
    palette = np.frombuffer(frame.palette, np.uint8, len(frame.palette) // 3 * 3).reshape(-1, 3)
    table[: len(palette), :3] = palette
    table[:, 3] = 255
    if frame.transparent is not None:
        table[frame.transparent, 3] = 0
    colours: Bytes = table[indexes]
    return colours


def _deinterlaced(rows: Bytes, count: int, frame: _GifFrame) -> Bytes:
    """Return the picture (height, width, 4) of the first *count* pixels, in their places."""
    picture = np.zeros((frame.height, frame.width, 4), np.uint8)
    complete, rest = divmod(count, frame.width)
    begun = 0
    for first, apart, high in _PASSES:
        places = range(first, frame.height, apart)
        part = rows[begun : min(complete, begun + len(places))]
        for below in range(high):
            covered = picture[first + below :: apart][: len(part)]
            covered[:] = part[: len(covered)]
        if rest and begun <= complete < begun + len(places):
            picture[places[complete - begun], :rest] = rows[complete, :rest]
        begun += len(places)
    return picture

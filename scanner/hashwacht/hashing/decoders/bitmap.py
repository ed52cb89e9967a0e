"""BMP in every layout that browsers show.

Pillow decodes the usual ones.  Those decoded here are: headers of other lengths, 2 bits a pixel,
any masks, palettes with more entries than the pixels can name, run-length encoding with skipped
pixels, an embedded JPEG or PNG, and a file that ends too early, whose missing pixels are
transparent as in a browser.  No maintained library reads them all.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Image import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from hashwacht.hashing.decoders.bitmap_header import (
    FILE_HEADER,
    BitmapHeader,
    begins_early,
    read_bitmap_header,
)
from hashwacht.hashing.decoders.bitmap_runs import decode_runs
from hashwacht.hashing.decoders.own_image_file import OwnImageFile

Array = npt.NDArray[np.uint8]

_OPAQUE = 255
_INDEXED = 8
_MAX_HEADERS = 256
_PILLOW_LENGTHS = frozenset({12, 40, 64, 108, 124})
_PILLOW_MASKS = {
    (bits, masks)
    for bits, masks in (
        (16, (0x7C00, 0x3E0, 0x1F, 0)),
        (24, (0xFF0000, 0xFF00, 0xFF, 0)),
        (32, (0xFF0000, 0xFF00, 0xFF, 0)),
    )
}
_BAND = 1 << 20
"""Pixels that are converted at once."""


def open_bitmap(file: BinaryIO) -> ImageFile:
    """Open a BMP without decoding it.  Raises OSError."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_MAX_HEADERS)
    header = read_bitmap_header(head, FILE_HEADER, int.from_bytes(head[10:14], "little"))
    file.seek(0)
    if header.layout in {"jpeg", "png"}:
        embedded = io.BytesIO(file.read()[header.pixels_at :])
        return JpegImageFile(embedded) if header.layout == "jpeg" else PngImageFile(embedded)
    if _is_usual(header) and header.pixels_at + header.stride * header.height <= size:
        return BmpImageFile(file)
    return BitmapImageFile(file)


def _is_usual(header: BitmapHeader) -> bool:
    """Return whether Pillow decodes such a bitmap, and as a browser does."""
    if header.length not in _PILLOW_LENGTHS or header.layout != "packed":
        return False
    if begins_early(header):
        return False
    if header.bits <= _INDEXED:
        return header.bits != 2 and header.colours <= 1 << header.bits  # noqa: PLR2004 - a depth
    return (header.bits, header.masks) in _PILLOW_MASKS


class BitmapImageFile(OwnImageFile):
    """A BMP of any layout.

    If its pixels would begin within its header, it has two stills: Chromium begins there, Firefox
    after the palette.
    """

    format = "BMP"

    def _read_header(self, content: bytes) -> tuple[tuple[int, int], str]:
        offset = int.from_bytes(content[10:FILE_HEADER], "little")
        header = read_bitmap_header(content, FILE_HEADER, offset)
        after = read_bitmap_header(content, FILE_HEADER)
        self._content, self._header = content, header
        self._headers = [header, after] if begins_early(header) else [header]
        self.n_frames = len(self._headers)
        return (header.width, header.height), "RGB"

    def seek(self, frame: int) -> None:
        """Choose where the pixels begin."""
        if self._headers[frame] != self._header:
            self._header, self._pending = self._headers[frame], True

    def _decode(self) -> tuple[Image, bool]:
        return decode_bitmap(self._content, self._header)


def decode_bitmap(content: bytes, header: BitmapHeader) -> tuple[Image, bool]:
    """Return the picture, and whether the file has all its pixels.

    The mode is RGBA if any pixel is transparent, skipped or missing, else RGB.
    """
    if header.layout == "packed":
        pixels, complete = _packed_pixels(content, header)
    else:
        pixels, complete = _run_pixels(content, header)
    if not header.top_down:
        pixels = pixels[::-1]
    return Pillow.fromarray(np.ascontiguousarray(pixels)), complete


def _packed_pixels(content: bytes, header: BitmapHeader) -> tuple[Array, bool]:
    size = header.stride * header.height
    present = min(size, max(0, len(content) - header.pixels_at))
    rows = np.zeros((header.height, header.stride), np.uint8)
    if present:  # numpy accepts no empty buffer
        body = np.frombuffer(content, np.uint8, present, header.pixels_at)
        rows.reshape(-1)[:present] = body
    pixels = _coloured(rows, content, header)
    if present == size:
        return pixels, True
    alpha = np.zeros((header.height, header.width), np.uint8)
    alpha[: present // header.stride] = _OPAQUE
    return np.dstack([pixels[..., :3], alpha]), False


def _coloured(rows: Array, content: bytes, header: BitmapHeader) -> Array:
    if header.bits <= _INDEXED:
        return _palette(content, header)[_indexes(rows, header)]
    channels = 4 if header.masks[3] else 3
    pixels = np.empty((header.height, header.width, channels), np.uint8)
    band = max(1, _BAND // header.width)
    for top in range(0, header.height, band):
        words = _words(rows[top : top + band], header)
        for channel in range(channels):
            pixels[top : top + band, :, channel] = _channel(words, header.masks[channel])
    if channels == 4 and not pixels[..., 3].any():  # noqa: PLR2004 - RGBA
        return pixels[..., :3]  # browsers take an empty alpha channel for an unused one
    return pixels


def _words(rows: Array, header: BitmapHeader) -> npt.NDArray[np.uint32]:
    if header.bits != 24:  # noqa: PLR2004 - no integer type has 24 bits
        words = rows.view(f"<u{header.bits // 8}")[:, : header.width]
        return words.astype(np.uint32)
    parts = rows[:, : 3 * header.width].reshape(len(rows), header.width, 3).astype(np.uint32)
    return cast("npt.NDArray[np.uint32]", parts[..., 0] | parts[..., 1] << 8 | parts[..., 2] << 16)


def _channel(words: npt.NDArray[np.uint32], mask: int) -> Array:
    """Return the bits of *mask* as 0 to 255."""
    if not mask:
        return np.zeros(words.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    most = mask >> shift
    most &= ~(most + 1)  # of several runs of bits, browsers use the lowest at most
    mask = most << shift
    values = (words & np.uint32(mask)) >> np.uint32(shift)
    while most > 0xFFFF:  # noqa: PLR2004 - so that the product below has 32 bits
        values, most = values >> np.uint32(1), most >> 1
    return ((values * np.uint32(_OPAQUE) + np.uint32(most // 2)) // np.uint32(most)).astype(
        np.uint8
    )


def _indexes(rows: Array, header: BitmapHeader) -> Array:
    if header.bits == _INDEXED:
        return rows[:, : header.width]
    shifts = np.arange(_INDEXED - header.bits, -1, -header.bits, dtype=np.uint8)
    values = (rows[..., None] >> shifts) & np.uint8((1 << header.bits) - 1)
    return values.reshape(len(rows), -1)[:, : header.width]


def _palette(content: bytes, header: BitmapHeader) -> Array:
    """Return 256 colours (256, 3); those that the file lacks are black."""
    count = min(header.colours, 1 << header.bits)
    stored = content[header.palette_at : header.palette_at + count * header.entry]
    entries = np.zeros((1 << _INDEXED, header.entry), np.uint8)
    if stored:  # numpy accepts no empty buffer
        entries.reshape(-1)[: len(stored)] = np.frombuffer(stored, np.uint8)
    return np.ascontiguousarray(entries[:, 2::-1])


def _run_pixels(content: bytes, header: BitmapHeader) -> tuple[Array, bool]:
    runs = decode_runs(content, header)
    sides = (header.height, header.width)
    values = np.frombuffer(runs.pixels, np.uint8)
    if runs.depth == 1:
        pixels = _palette(content, header)[values.reshape(sides)]
    else:
        pixels = values.reshape(*sides, 3)[..., ::-1]
    alpha = np.frombuffer(runs.alpha, np.uint8).reshape(sides)
    if alpha.all():
        return pixels, runs.complete
    return np.dstack([pixels, alpha]), runs.complete

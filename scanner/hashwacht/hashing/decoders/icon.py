"""Icons and mouse pointers (ICO, CUR): the picture that a browser shows of them.

That is the entry with the largest sides in the directory; of equal ones the one with the most bits.
An entry is a PNG, or a bitmap whose second half masks transparent pixels.

Source: Microsoft's ICONDIR and ICONDIRENTRY, and what Chromium's decoder makes of them.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from PIL import Image as Pillow
from PIL.Image import Image
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile

from hashwacht.hashing.decoders.bitmap import decode_bitmap
from hashwacht.hashing.decoders.bitmap_header import BitmapHeader, read_bitmap_header
from hashwacht.hashing.decoders.code_points import add_png_code_points
from hashwacht.hashing.decoders.own_image_file import OwnImageFile

_PNG = b"\x89PNG"
_HEADER, _ENTRY = 6, 16
_MAX_ENTRIES = 1024
_MASK_BITS = 32
_ALPHA = 0xFF000000
_LARGEST = 256


@dataclass(frozen=True, slots=True)
class _IconEntry:
    width: int
    height: int
    bits: int
    at: int


def open_icon(file: BinaryIO) -> ImageFile:
    """Open the entry that a browser shows.  Raises OSError."""
    content = shown_entry(file.read())
    if content.startswith(_PNG):
        file = io.BytesIO(content)
        image = PngImageFile(file)
        add_png_code_points(image, file)
        return image
    return IconBitmapFile(io.BytesIO(content))


def shown_entry(content: bytes) -> bytes:
    """Return an icon from the beginning of the picture that a browser shows.  Raises OSError."""
    entries = _entries(content)
    if not entries:
        raise OSError("an icon without pictures")
    shown = max(entries, key=lambda entry: (entry.width * entry.height, entry.bits))
    return content[shown.at :]


def _entries(content: bytes) -> list[_IconEntry]:
    count = min(int.from_bytes(content[4:_HEADER], "little"), _MAX_ENTRIES)
    is_icon = content[2:3] == b"\1"
    entries = []
    for at in range(_HEADER, min(_HEADER + _ENTRY * count, len(content) - _ENTRY + 1), _ENTRY):
        width, height, _, _, _, bits, _, offset = struct.unpack_from("<BBBBHHII", content, at)
        depth = bits if is_icon else 0  # a pointer has its hot spot there
        entries.append(_IconEntry(width or _LARGEST, height or _LARGEST, depth, offset))
    return entries


class IconBitmapFile(OwnImageFile):
    """A bitmap without file header, of which the lower half is a mask."""

    format = "ICO"

    def _read_header(self, content: bytes) -> tuple[tuple[int, int], str]:
        header = read_bitmap_header(content, 0)
        masks = (*header.masks[:3], _ALPHA if header.bits == _MASK_BITS else header.masks[3])
        self._content = content
        self._header = replace(header, height=header.height // 2, masks=masks)
        return (self._header.width, self._header.height), "RGBA"

    def _decode(self) -> tuple[Image, bool]:
        image, complete = decode_bitmap(self._content, self._header)
        if image.mode == "RGBA" or not complete:
            return image, complete
        alpha = _mask(self._content, self._header)
        if alpha is not None:
            image.putalpha(alpha)
        return image, complete


def _mask(content: bytes, header: BitmapHeader) -> Image | None:
    """Return the alpha channel of the mask, None if there is no mask or it hides nothing."""
    stride = (header.width + 31) // 32 * 4
    at, size = header.pixels_at + header.stride * header.height, stride * header.height
    if len(content) < at + size:
        return None
    rows = np.frombuffer(content, np.uint8, size, at).reshape(header.height, stride)
    hidden = np.unpackbits(rows, axis=1)[:, : header.width]
    if not header.top_down:
        hidden = hidden[::-1]
    if not hidden.any():
        return None
    return Pillow.fromarray(np.where(hidden, 0, 255).astype(np.uint8))

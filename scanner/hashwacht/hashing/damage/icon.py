"""Damaged icons and mouse pointers: the entry that a browser shows, alone in a file."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from hashwacht.hashing.damage import png
from hashwacht.hashing.damage.part import decode_part

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Open = Callable[[bytes], "ImageFile"]

_HEADER = struct.Struct("<HHHBBBBHHII")
"""An icon of one entry (ICONDIR and ICONDIRENTRY)."""


def decode(original: bytes, open_picture: Open) -> Iterator[Image]:
    """Yield what is shown of the entry.  Raises what Pillow raises if that is nothing."""
    from hashwacht.hashing.decoders.icon import shown_entry

    content = shown_entry(original)
    if content.startswith(png.SIGNATURE):
        yield from png.decode(content, lambda file: open_picture(_icon(file)))
    else:
        yield decode_part(lambda: open_picture(original)).image()


def _icon(content: bytes) -> bytes:
    length = len(content)
    return _HEADER.pack(0, 1, 1, 0, 0, 0, 0, 1, 32, length, _HEADER.size) + content

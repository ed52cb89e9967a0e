"""Damaged WebP files (RFC 9649).

The decoder refuses a still whose coded pixels end too early.  With bytes appended it accepts it and
makes up the rest, other pixels from other bytes: rows that do not depend on them were in the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from hashwacht.hashing.damage.part import transparent

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

_MAX_PADDING = 64 << 20
"""Bytes.  A header may declare four gigabytes."""

_MORE = 4096
_PADDINGS = (b"\0", b"\xa5")
_HEADER = 12
_BLOCK, _KEPT_BACK = 16, 9
"""Rows of a block, and those before it that a browser keeps back while alpha is decoded."""

_ALPHA = b"ALPH"
_ANIMATED, _LOSSY = b"ANIM", b"VP8 "


def padded(original: bytes) -> bytes:
    """Append zeros up to the length in the header, so that the decoder accepts the file."""
    missing = int.from_bytes(original[4:8], "little") + 8 - len(original)
    return original + bytes(min(max(0, missing), _MAX_PADDING))


def decode(original: bytes, open_picture: Callable[[bytes], ImageFile]) -> Iterator[Image]:
    """Yield what is shown.  Raises what Pillow raises if the file cannot be completed."""
    chunks = list(_chunks(original))
    names = [name for name, _ in chunks]
    if _ANIMATED in names or _LOSSY not in names:
        image = open_picture(padded(original))
        image.load()
        yield image
        return
    first, second = (_loaded(open_picture(_completed(chunks, padding))) for padding in _PADDINGS)
    same = (np.asarray(first) == np.asarray(second)).all(axis=(1, 2))
    rows = int(np.argmin(np.append(same, False)))
    if _ALPHA in names:
        rows = max(0, rows // _BLOCK * _BLOCK - _KEPT_BACK)
    known = np.zeros((first.height, first.width), bool)
    known[:rows] = True
    if not rows:
        raise OSError("no row of the picture could be decoded")
    yield transparent(first, known)


def _loaded(image: ImageFile) -> ImageFile:
    image.load()
    return image


def _completed(chunks: list[tuple[bytes, bytes]], padding: bytes) -> bytes:
    """Return the file with bytes appended to the first chunk of coded pixels."""
    at = [name for name, _ in chunks].index(_LOSSY)
    coded = chunks[at][1]
    completed = (_LOSSY, coded + padding * (len(coded) // 2 + _MORE))
    parts = [*chunks[:at], completed, *chunks[at + 1 :]]
    body = b"".join(_chunk(name, content) for name, content in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _chunks(original: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of each chunk, the last one perhaps not complete."""
    at = _HEADER
    while at + 8 <= len(original):
        name, length = struct.unpack_from("<4sI", original, at)
        yield name, original[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

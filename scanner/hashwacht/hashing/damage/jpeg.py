"""Damaged JPEGs (ITU-T T.81).

A sequential JPEG is shown up to its last complete row of blocks.  Of a progressive one, or one
whose colours are in scans of their own, all scans are shown that are there: libjpeg does so if it
finds an end, and fills what is missing with grey.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from hashwacht.hashing.damage.part import decode_part, transparent

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

END = b"\xff\xd9"
_SCAN = 0xDA
_METADATA = frozenset({0xFE, *range(0xE1, 0xEE), 0xEF})
"""Comments and application segments, but not JFIF and Adobe (E0, EE), which define the colours."""

_LEAST_LENGTHS = {0xE0: 16, 0xEE: 14}
"""libjpeg ignores these segments if they are shorter, where Pillow refuses the file."""

_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})

_FILLED = 128
"""Each sample that libjpeg fills in."""


def repaired(original: bytes) -> bytes:
    """Return the file without metadata and with an end."""
    return b"".join(_pixels(original)) + END


def decode(original: bytes, open_picture: Callable[[bytes], ImageFile]) -> Iterator[Image]:
    """Yield what is shown.  Raises what Pillow raises if that is nothing."""
    file = _openable(original, open_picture)
    part = decode_part(lambda: open_picture(file))
    if part.known.any():
        yield part.image()
        return
    filled = decode_part(lambda: open_picture(file + END))
    last = np.asarray(filled.decoded.convert("RGB")) != _FILLED
    rows = np.flatnonzero(last.any(axis=(1, 2)))
    known = filled.known.copy()
    known[int(rows[-1]) + 1 if len(rows) else 0 :] = False
    if not known.any():
        raise filled.error or OSError("no row of the picture could be decoded")
    yield transparent(filled.decoded, known)


def _openable(original: bytes, open_picture: Callable[[bytes], ImageFile]) -> bytes:
    """Return the file, without its metadata if Pillow refuses it because of them."""
    try:
        open_picture(original)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises anything
        return b"".join(_pixels(original))
    return original


def _pixels(original: bytes) -> Iterator[bytes]:
    """Drop metadata before the first scan."""
    yield original[:2]
    at = 2
    while at + 4 <= len(original) and original[at] == 0xFF:  # noqa: PLR2004 - the marker prefix
        marker, length = original[at + 1], int.from_bytes(original[at + 2 : at + 4], "big")
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            at += 1
            continue
        if marker in _WITHOUT_LENGTH:
            at += 2
            continue
        if marker == _SCAN:
            break
        if marker not in _METADATA and length >= _LEAST_LENGTHS.get(marker, 0):
            yield original[at : at + 2 + length]
        at += 2 + length
    yield original[at:]

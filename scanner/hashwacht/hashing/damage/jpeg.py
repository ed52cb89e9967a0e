"""Damaged JPEGs (ITU-T T.81).

A sequential JPEG is shown up to its last complete row of blocks.  Of a progressive one, or one
whose colours are in scans of their own, all scans are shown that are there: libjpeg does so if it
finds an end, and fills what is missing with grey.  If it finds an error between two scans, or the
file ends there, those before are shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import numpy as np

from hashwacht.hashing.damage.part import DecodedPart, decode_part, transparent

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile
    from PIL.JpegImagePlugin import JpegImageFile

END = b"\xff\xd9"
_SCAN = 0xDA
_METADATA = frozenset({0xFE, *range(0xE1, 0xEE), 0xEF})
"""Comments and application segments, but not JFIF and Adobe (E0, EE), which define the colours."""

_LEAST_LENGTHS = {0xE0: 16, 0xEE: 14}
"""libjpeg ignores these segments if they are shorter, where Pillow refuses the file."""

_BETWEEN_SCANS = re.compile(rb"\xff[\xc4\xda\xdb\xdd]")
"""Tables (DHT, DQT, DRI) and the headers of scans (SOS)."""

_LATER_SCAN = re.compile(rb"\xff\xda.{9}", re.DOTALL)
"""A complete header, and data."""

_BLOCK, _KEPT_BACK, _UPSAMPLED = 8, (5, 6, 4, 3, 2), 2
"""Rows of a block, the rows of blocks that are kept back, and rows if colours are half as high."""

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
    filled = _with_end(file, open_picture)
    last = np.asarray(filled.decoded.convert("RGB")) != _FILLED
    rows = np.flatnonzero(last.any(axis=(1, 2)))
    end = int(rows[-1]) + 1 if len(rows) else 0
    if not filled.known[:end].any():
        raise filled.error or OSError("no row of the picture could be decoded")
    for shown in _shown_rows(open_picture(file), end, _scans(file)):
        known = filled.known.copy()
        known[shown:] = False
        yield transparent(filled.decoded, known)


def _shown_rows(image: ImageFile, end: int, scans: bytes) -> Iterator[int]:
    """Yield how many of *end* decoded rows are shown; most likely first.

    The first scan of a progressive picture is smoothed across blocks, so a browser keeps rows of
    blocks back: five or six, and fewer in the last bytes of the scan; other viewers keep none.
    """
    if "progressive" in image.info and _LATER_SCAN.search(scans) is None:
        high = _BLOCK * max(down for _, _, down, _ in cast("JpegImageFile", image).layer)
        decoded = -(-end // high) if end == image.height else end // high
        for count in _KEPT_BACK:
            shown = (decoded - count) * high - (_UPSAMPLED if high > _BLOCK else 0)
            if shown > 0:
                yield shown
    yield end


def _with_end(file: bytes, open_picture: Callable[[bytes], ImageFile]) -> DecodedPart:
    """Decode as many scans as possible, closed by an end."""
    filled = decode_part(lambda: open_picture(file + END))
    if filled.known.any():
        return filled
    start = len(file) - len(_scans(file))
    ends = [match.start() for match in _BETWEEN_SCANS.finditer(file, start)]
    first, last = 0, len(ends)
    while first < last:  # up to first it can be decoded, from last on it cannot
        middle = (first + last) // 2
        part = decode_part(lambda: open_picture(file[: ends[middle]] + END))  # noqa: B023 - called at once
        if part.known.any():
            filled, first = part, middle + 1
        else:
            last = middle
    return filled


def _scans(file: bytes) -> bytes:
    """Return what follows the marker of the first scan."""
    *_, scans = _pixels(file)
    return scans[len(END) :]


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

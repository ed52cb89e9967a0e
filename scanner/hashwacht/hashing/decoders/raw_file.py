"""Raw files of cameras: the JPEG previews that viewers show.

What the sensor recorded is not developed; no browser shows it.  The previews are found by their
markers instead of the makers' directories, each of which is built differently.

Sources: TIFF 6.0 and DNG 1.7 (directories); ITU-T T.81, annex B (markers).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import islice

from hashwacht.hashing.decoders import PartlyDecoded

MAX_PREVIEWS = 4
"""The largest are hashed; a preview of a preview is smaller."""

MIN_SIDE = 128
"""Pixels; a smaller preview is an icon, and there is a larger one."""

_SIGNATURES = (
    (b"IIRO", "image/x-olympus-orf"),
    (b"IIRS", "image/x-olympus-orf"),
    (b"MMOR", "image/x-olympus-orf"),
    (b"IIU\0", "image/x-panasonic-rw2"),
    (b"FUJIFILMCCD-RAW ", "image/x-fuji-raf"),
)
_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_MAKE, _SUB_DIRECTORIES, _DNG_VERSION = 0x10F, 0x14A, 0xC612
_MAKERS = (
    (b"NIKON", "image/x-nikon-nef"),
    (b"SONY", "image/x-sony-arw"),
    (b"PENTAX", "image/x-pentax-pef"),
    (b"SAMSUNG", "image/x-samsung-srw"),
)
_MAX_ENTRIES = 512

_START = b"\xff\xd8\xff"
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Frame headers of what viewers show; the sensor's pixels are often a lossless JPEG (C3)."""
_SCAN = 0xDA
_MAX_STARTS = 10_000
_MAX_SEGMENTS = 200


def raw_kind(head: bytes) -> str | None:
    """Return the MIME type of a raw file by its first bytes, None for other files."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    order = _TIFF.get(head[:4])
    if order is None:
        return None
    if head[8:10] == b"CR":
        return "image/x-canon-cr2"
    try:
        return _directory_kind(head, order)
    except struct.error:  # the directory is not among the first bytes
        return None


def _directory_kind(head: bytes, order: str) -> str | None:
    (at,) = struct.unpack_from(f"{order}I", head, 4)
    (count,) = struct.unpack_from(f"{order}H", head, at)
    entries = {}
    for entry in range(at + 2, at + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        tag, _, length, value = struct.unpack_from(f"{order}HHII", head, entry)
        entries[tag] = length, value
    if _DNG_VERSION in entries:
        return "image/x-adobe-dng"
    if _MAKE not in entries or _SUB_DIRECTORIES not in entries:
        return None
    length, value = entries[_MAKE]
    make = head[value : value + length].upper()
    return next((kind for maker, kind in _MAKERS if make.startswith(maker)), None)


def embedded_previews(content: bytes) -> Iterator[bytes]:
    """Yield the largest previews, each from its first byte to the end of *content*.

    Raises PartlyDecoded if there is none, or not every beginning of a JPEG was looked at.
    """
    starts = list(islice(_starts(content), _MAX_STARTS + 1))
    previews = sorted(
        _previews(content, starts[:_MAX_STARTS]), key=lambda preview: (-preview[0], preview[1])
    )
    for _, at in previews[:MAX_PREVIEWS]:
        yield content[at:]
    if not previews:
        raise PartlyDecoded("a raw file without a preview")
    if len(starts) > _MAX_STARTS:
        raise PartlyDecoded(f"a raw file with more than {_MAX_STARTS} beginnings of a JPEG")


def _starts(content: bytes) -> Iterator[int]:
    at = content.find(_START)
    while at >= 0:
        yield at
        at = content.find(_START, at + 1)


def _previews(content: bytes, starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (pixels, offset) of every JPEG that is large enough."""
    for at in starts:
        width, height = _size(content, at)
        if min(width, height) >= MIN_SIDE:
            yield width * height, at


def _size(content: bytes, at: int) -> tuple[int, int]:
    """Return (width, height) of the JPEG at an offset, zeros if it is none that viewers show."""
    at += 2
    for _ in range(_MAX_SEGMENTS):
        if len(content) < at + 9 or content[at] != 0xFF:  # noqa: PLR2004 - the marker prefix
            break
        marker = content[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        if marker == _SCAN:
            break
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return 0, 0

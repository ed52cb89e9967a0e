"""Repair of damaged picture files, so that a strict decoder shows what a browser would.

Browsers ignore broken metadata and checksums and fill what is missing.  Pillow has a switch for
that (``LOAD_TRUNCATED_IMAGES``), but it applies to the whole process, a web application included,
and does not help WebP.  So the bytes of each picture are rewritten; only what carries pixels is
kept.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_METADATA = frozenset({0xFE, *range(0xE1, 0xEE), 0xEF})
"""Comments and application segments, but not JFIF and Adobe (E0, EE), which define the colours."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT"})

_MAX_PADDING = 64 << 20
"""Bytes.  A header may declare four gigabytes."""


def repair_picture(name: str, original: bytes) -> bytes:
    """Return the rewritten file of Pillow's format *name*; formats without a repair unchanged."""
    if name == "JPEG":
        return b"".join(_jpeg_pixels(original))
    if name == "PNG":
        return b"".join(_png_pixels(original))
    if name == "WEBP":
        return _webp_padded(original)
    return original


def _jpeg_pixels(original: bytes) -> Iterator[bytes]:
    """Drop metadata before the first scan and add the end that may be missing (ITU T.81, B.1).

    With an end, libjpeg fills what is missing with grey, and shows the scans that a progressive
    picture has.
    """
    yield original[:2]
    at = 2
    while at + 4 <= len(original) and original[at] == 0xFF:  # noqa: PLR2004 - the marker prefix
        marker, length = original[at + 1], int.from_bytes(original[at + 2 : at + 4], "big")
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            at += 1
            continue
        if marker == _JPEG_SCAN:
            break
        if marker not in _JPEG_METADATA:
            yield original[at : at + 2 + length]
        at += 2 + length
    yield original[at:]
    yield _JPEG_END


def _png_pixels(original: bytes) -> Iterator[bytes]:
    """Keep the chunks that carry stills, with checksums that fit (PNG 3, 5.3 and 11.3.6)."""
    yield _PNG_SIGNATURE
    at = len(_PNG_SIGNATURE)
    while at + 8 <= len(original):
        length, name = struct.unpack_from(">I4s", original, at)
        body = original[at + 8 : at + 8 + length]
        if name in _PNG_PIXELS:
            yield _png_chunk(name, body)
        at += 12 + length
    yield _png_chunk(b"IEND", b"")


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _webp_padded(original: bytes) -> bytes:
    """Append zeros up to the length in the header, so that the decoder accepts the file."""
    declared = int.from_bytes(original[4:8], "little") + 8
    missing = max(0, declared - len(original))
    return original + bytes(min(missing, _MAX_PADDING))

"""Make a damaged picture file into one that a strict decoder reads as a browser would.

Browsers show what there is: they ignore broken metadata and checksums and fill what is missing.
Pillow has a switch for that, but it is one for the whole process (``LOAD_TRUNCATED_IMAGES``),
which would change how everybody else in a web application reads pictures, and it does not help
WebP.  Rewriting the bytes works for each picture alone.  Only what carries pixels is kept.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_METADATA = frozenset({0xFE, *range(0xE1, 0xEE), 0xEF})
"""Comments and application segments, but not JFIF and Adobe (E0, EE): these tell the colours."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT"})

_MOST_PADDING = 64 << 20
"""Bytes.  A header may promise four gigabytes."""


def repair_picture(name: str, original: bytes) -> bytes:
    """Rewrite a file of Pillow's format *name*; other formats than these three come back as is."""
    if name == "JPEG":
        return b"".join(_jpeg_pixels(original))
    if name == "PNG":
        return b"".join(_png_pixels(original))
    if name == "WEBP":
        return _webp_padded(original)
    return original


def _jpeg_pixels(original: bytes) -> Iterator[bytes]:
    """Drop metadata before the first scan and add the end that may be missing (ITU T.81, B.1).

    With an end, libjpeg fills what was not there with grey, and shows of a progressive picture
    the scans it has.
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
    """Fill up with zeros to the length in the header, so that the decoder gets to what there is."""
    promised = int.from_bytes(original[4:8], "little") + 8
    missing = max(0, promised - len(original))
    return original + bytes(min(missing, _MOST_PADDING))

"""The picture formats that are decoded: how each is recognised, opened and repaired.

This is the complete list.  ``PIL.Image.open`` is not used: it would offer a hostile file to every
installed plug-in (EPS runs Ghostscript), emit warnings through filters that all threads share, and
limit the number of pixels by a variable of the whole process.  The classes used here are those that
Pillow documents for each format.

A damaged file is repaired so that a strict decoder shows what a browser would: browsers ignore
broken metadata and checksums and fill what is missing.  Pillow has a switch for that
(``LOAD_TRUNCATED_IMAGES``), but it applies to the whole process, a web application included, and
does not help WebP.  So the bytes are rewritten, and only what carries pixels is kept.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from hashwacht.hashing.content_reader import EncodedPicture

Opener = Callable[[BinaryIO], "ImageFile"]

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
"""Lengths that the second header of a BMP may have; its signature alone is two letters."""

_WEBP_HEAD = 30
"""Bytes up to the end of any size field."""


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """A format: Pillow's name, MIME type, and whether it may hold more than one still.

    *opener* is None if no decoder for it is installed.
    """

    name: str
    kind: str
    multi_frame: bool
    opener: Opener | None


def _opener(module: str, plugin: str) -> Opener:
    """Return a function that opens files with one plug-in, which is imported for the first one."""

    def open_picture(file: BinaryIO) -> ImageFile:
        return cast("ImageFile", getattr(import_module(module), plugin)(file))

    return open_picture


def _pillow(name: str) -> Opener:
    return _opener(f"PIL.{name}ImagePlugin", f"{name}ImageFile")


_JPEG = PictureFormat("JPEG", "image/jpeg", multi_frame=False, opener=_pillow("Jpeg"))
"""Only the first picture: no browser shows what a multi-picture file (MPO) appends."""
_ICO = PictureFormat("ICO", "image/vnd.microsoft.icon", multi_frame=False, opener=_pillow("Ico"))
"""The largest of its pictures, as a browser shows it if there is room."""
_BMP = PictureFormat("BMP", "image/bmp", multi_frame=False, opener=_pillow("Bmp"))
_PNG = PictureFormat("PNG", "image/png", multi_frame=True, opener=_pillow("Png"))
_GIF = PictureFormat("GIF", "image/gif", multi_frame=True, opener=_pillow("Gif"))
_TIFF = PictureFormat("TIFF", "image/tiff", multi_frame=True, opener=_pillow("Tiff"))
_WEBP = PictureFormat("WEBP", "image/webp", multi_frame=True, opener=_pillow("WebP"))
_AVIF = PictureFormat("AVIF", "image/avif", multi_frame=True, opener=_pillow("Avif"))
_HEIF_OPENER = _opener("pillow_heif", "HeifImageFile")
_HEIF = PictureFormat("HEIF", "image/heic", multi_frame=True, opener=_HEIF_OPENER)

_SIGNATURES: tuple[tuple[tuple[bytes, ...], PictureFormat], ...] = (
    ((b"\xff\xd8\xff",), _JPEG),
    ((b"\x89PNG\r\n\x1a\n",), _PNG),
    ((b"GIF87a", b"GIF89a"), _GIF),
    ((b"\0\0\1\0",), _ICO),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _TIFF),
)


def detect_format(head: bytes) -> PictureFormat | None:
    """Return the format of a file by its first bytes, None if no decoder would show it.

    Signatures as in the WHATWG's MIME Sniffing Standard (what browsers do), plus TIFF (TIFF 6.0)
    and the brands of ISO 23008-12 (HEIF) and AVIF.
    """
    for signatures, picture_format in _SIGNATURES:
        if head.startswith(signatures):
            return picture_format
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _WEBP
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return _BMP
    return _detect_heif(head)


def _detect_heif(head: bytes) -> PictureFormat | None:
    if head[4:8] != b"ftyp":
        return None
    box = head[8 : min(int.from_bytes(head[:4], "big"), 1024)]
    brands = {box[:4], *(box[i : i + 4] for i in range(8, len(box), 4))}
    if brands & _AVIF_BRANDS:
        return _AVIF
    if brands & _HEIC_BRANDS or box[:4] in {b"mif1", b"msf1"}:
        return _HEIF if find_spec("pillow_heif") is not None else replace(_HEIF, opener=None)
    return None


def declared_size(name: str, original: EncodedPicture) -> tuple[int, int] | None:
    """Return (width, height) of formats whose decoder allocates memory before it reports a size.

    Those are WebP (RFC 9649, 2.5 to 2.7) and icons, whose directory may be wrong.
    """
    if name == "ICO":
        sizes = _icon_sizes(original.read())
        return max(sizes, key=lambda size: size[0] * size[1], default=None)
    return _webp_size(original.read(_WEBP_HEAD)) if name == "WEBP" else None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    if len(head) < _WEBP_HEAD:
        return None
    if head[12:16] == b"VP8X":
        width, height = head[24:27], head[27:30]
        return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", head[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _icon_sizes(original: bytes) -> Iterator[tuple[int, int]]:
    """Yield the size of every picture in an icon: each is a PNG, or a bitmap without its header."""
    for entry in range(6, 6 + 16 * int.from_bytes(original[4:6], "little"), 16):
        at = int.from_bytes(original[entry + 12 : entry + 16], "little")
        if original[at : at + 4] == b"\x89PNG":
            sides, order = original[at + 16 : at + 24], ">II"
        else:
            sides, order = original[at + 4 : at + 12], "<ii"
        if len(sides) == 8:  # noqa: PLR2004 - two numbers of four bytes
            width, height = struct.unpack(order, sides)
            yield abs(width), abs(height)


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

    With an end, libjpeg fills what is missing with grey and shows the scans that are there.
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
    missing = int.from_bytes(original[4:8], "little") + 8 - len(original)
    return original + bytes(min(max(0, missing), _MAX_PADDING))

"""The picture formats that are decoded: how each is recognised and opened.

This is the complete list.  ``PIL.Image.open`` is not used: it would offer a hostile file to every
installed plug-in (EPS runs Ghostscript), emit warnings through filters that all threads share, and
limit the number of pixels by a variable of the whole process.  The classes used here are those that
Pillow documents for each format.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO, cast

from hashwacht.core.types import DECODERS
from hashwacht.hashing.content_reader import HEAD
from hashwacht.hashing.decoders.bitmap_header import HEADER_LENGTHS
from hashwacht.hashing.decoders.code_points import add_avif_code_points, add_png_code_points
from hashwacht.hashing.decoders.file_type_box import branded_kind
from hashwacht.hashing.decoders.raw_file import embedded_previews, raw_kind
from hashwacht.hashing.decoders.svg import GZIP, embedded_pictures, may_be_svg

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from hashwacht.hashing.content_reader import EncodedPicture

Opener = Callable[[BinaryIO], "ImageFile"]
Extractor = Callable[[bytes], Iterator[bytes]]

_WEBP_HEAD = 30
"""Bytes up to the end of any size field."""


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """A format: Pillow's name, MIME type, and whether it may hold more than one still.

    *opener* is None if no decoder for it is installed, or if *embedded* yields picture files in it.
    *composes*: it is shown as a picture made of these.  *certain*: False if the first bytes do not
    show whether a file has this format.
    """

    name: str
    kind: str
    multi_frame: bool
    opener: Opener | None
    embedded: Extractor | None = None
    composes: bool = False
    certain: bool = True

    @property
    def decodable(self) -> bool:
        """Whether something of it can be hashed with what is installed."""
        return self.opener is not None or self.embedded is not None


def _opener(module: str, name: str) -> Opener:
    """Return a function that opens files with one decoder, which is imported for the first one."""

    def open_picture(file: BinaryIO) -> ImageFile:
        return cast("ImageFile", getattr(import_module(module), name)(file))

    _decoder_modules.append(module)
    return open_picture


_decoder_modules: list[str] = []


def import_decoders() -> None:
    """Import everything that decoding may need: a sandboxed worker can open no module.

    Pillow imports ImageCms when it first converts CIELAB, and expat a codec for each encoding that
    an XML document declares.
    """
    for module in (*_decoder_modules, "PIL.ImageChops", "PIL.ImageCms", "pillow_jxl"):
        with suppress(ImportError):  # an extra that is not installed
            import_module(module)
    for encoding in _XML_ENCODINGS:
        codecs.lookup(encoding)


_XML_ENCODINGS = (
    *(f"iso8859-{number}" for number in (*range(1, 12), *range(13, 17))),
    *(f"cp125{number}" for number in range(9)),
    *("ascii", "utf-8", "utf-16", "utf-16-le", "utf-16-be"),
    *("koi8-r", "koi8-u", "cp866", "mac-roman"),
)
"""Those of one byte a character, and what expat itself reads."""


def _pillow(name: str) -> Opener:
    return _opener(f"PIL.{name}ImagePlugin", f"{name}ImageFile")


def _with_code_points(opener: Opener, add: Callable[[ImageFile, BinaryIO], None]) -> Opener:
    """Return an opener whose images know by which code points their colours are stated."""

    def open_picture(file: BinaryIO) -> ImageFile:
        image = opener(file)
        add(image, file)
        return image

    return open_picture


_JPEG = PictureFormat("JPEG", "image/jpeg", multi_frame=False, opener=_pillow("Jpeg"))
"""Only the first picture: no browser shows what a multi-picture file (MPO) appends."""
_ICON_OPENER = _opener("hashwacht.hashing.decoders.icon", "open_icon")
_ICO = PictureFormat("ICO", "image/vnd.microsoft.icon", multi_frame=False, opener=_ICON_OPENER)
_CUR = PictureFormat("CUR", "image/x-win-bitmap", multi_frame=False, opener=_ICON_OPENER)
_BITMAP_OPENER = _opener("hashwacht.hashing.decoders.bitmap", "open_bitmap")
_BMP = PictureFormat("BMP", "image/bmp", multi_frame=True, opener=_BITMAP_OPENER)
_PNG_OPENER = _with_code_points(_pillow("Png"), add_png_code_points)
_PNG = PictureFormat("PNG", "image/png", multi_frame=True, opener=_PNG_OPENER)
_GIF = PictureFormat("GIF", "image/gif", multi_frame=True, opener=_pillow("Gif"))
_TIFF = PictureFormat("TIFF", "image/tiff", multi_frame=True, opener=_pillow("Tiff"))
_WEBP = PictureFormat("WEBP", "image/webp", multi_frame=True, opener=_pillow("WebP"))
_AVIF_OPENER = _with_code_points(_pillow("Avif"), add_avif_code_points)
_AVIF = PictureFormat("AVIF", "image/avif", multi_frame=True, opener=_AVIF_OPENER)
EXTRAS = {"heic": "pillow_heif", "jxl": "pillow_jxl"}
"""Extras of this package, and the module that decodes with each."""

_DECODERS_VERSION = 1
"""Raised when files are decoded that had no decoder before: these are then read again."""

_HEIF_OPENER = _opener("pillow_heif", "HeifImageFile")
_HEIF = PictureFormat("HEIF", "image/heic", multi_frame=True, opener=_HEIF_OPENER)

_JXL_OPENER = _opener("hashwacht.hashing.decoders.jpeg_xl", "JpegXlImageFile")
_JXL = PictureFormat("JXL", "image/jxl", multi_frame=True, opener=_JXL_OPENER)
_JXL_SIGNATURES = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")

_XBM = PictureFormat("XBM", "image/x-xbitmap", multi_frame=False, opener=_pillow("Xbm"))
_XBM_HEAD = re.compile(
    rb"\s*+(?:/\*.*?\*/\s*+)?#define\s++\w*width\s++\d++\s++#define\s++\w*height\s", re.DOTALL
)
_MAX_XBM_HEAD = 4096
_RAW = PictureFormat("RAW", "image/x-dcraw", False, None, embedded_previews)
_SVG = PictureFormat("SVG", "image/svg+xml", False, None, embedded_pictures, composes=True)
_SVGZ = replace(_SVG, name="SVGZ", kind="application/x-gzip", certain=False)

_SIGNATURES: tuple[tuple[tuple[bytes, ...], PictureFormat], ...] = (
    ((b"\xff\xd8\xff",), _JPEG),
    ((b"\x89PNG\r\n\x1a\n",), _PNG),
    ((b"GIF87a", b"GIF89a"), _GIF),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _TIFF),
)


def detect_format(head: bytes, *, cut: bool = False) -> PictureFormat | None:
    """Return the format of a file by its first bytes, None if no decoder would show it.

    Fewer than HEAD bytes are the whole file, unless *cut*.

    Signatures as in the WHATWG's MIME Sniffing Standard (what browsers do), plus TIFF (TIFF 6.0)
    and the brands of ISO 23008-12 (HEIF) and AVIF.
    """
    if kind := raw_kind(head):
        return replace(_RAW, kind=kind)
    for signatures, picture_format in _SIGNATURES:
        if head.startswith(signatures):
            return picture_format
    return (
        _detect_by_fields(head)
        or _detect_branded(head)
        or _detect_text(head, whole=not cut and len(head) < HEAD)
    )


def _detect_by_fields(head: bytes) -> PictureFormat | None:
    """Return the format if its signature is too short, or not at the first byte."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _WEBP
    if head.startswith((b"\0\0\1\0", b"\0\0\2\0")) and head[4:6] != b"\0\0":
        return _ICO if head[2] == 1 else _CUR  # TGA files begin alike, but with no entries
    if head.startswith(_JXL_SIGNATURES):
        return _if_installed(_JXL, EXTRAS["jxl"])
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in HEADER_LENGTHS:
        return _BMP
    return None


def _detect_branded(head: bytes) -> PictureFormat | None:
    kind = branded_kind(head)
    if kind == "avif":
        return _AVIF
    if kind == "avif-mini":
        return replace(_AVIF, opener=None)  # no release of libavif reads it, nor any browser
    if kind == "heif":
        return _if_installed(_HEIF, EXTRAS["heic"])
    return replace(_RAW, kind="image/x-canon-cr3") if kind == "cr3" else None


def _detect_text(head: bytes, *, whole: bool) -> PictureFormat | None:
    if head.startswith(GZIP):
        return _SVGZ
    if may_be_svg(head, whole=whole):
        return _SVG
    first = head[:_MAX_XBM_HEAD]
    return _XBM if b"#define" in first and _XBM_HEAD.match(first) else None


def _if_installed(picture_format: PictureFormat, package: str) -> PictureFormat:
    """Return the format, without an opener if the package of its extra is not installed."""
    return (
        picture_format if find_spec(package) is not None else replace(picture_format, opener=None)
    )


def decoders_entry() -> str:
    """Return the recipe entry for the decoders: ``decoders/1/heic`` with this extra installed."""
    installed = (extra for extra, package in EXTRAS.items() if find_spec(package) is not None)
    return "/".join((DECODERS, str(_DECODERS_VERSION), *installed))


def declared_size(name: str, original: EncodedPicture) -> tuple[int, int] | None:
    """Return (width, height) of a WebP (RFC 9649, 2.5 to 2.7), None for other formats.

    Its decoder allocates memory before it reports a size.
    """
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

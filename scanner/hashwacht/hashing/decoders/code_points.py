"""The code points by which a file states its colours: primaries and transfer of ITU-T H.273.

A PNG has them in ``cICP``, an AVIF in properties ``colr`` of the type ``nclx``, an ICC profile in
the tag ``cicp``.  Pillow does not report them, so they are read here when a file is opened, and
added to ``info`` of the image as ``CODE_POINTS``.

Sources: PNG 3, 11.3.2.6 to 11.3.2.8; ISO 14496-12, 12.1.5 (colr) and 12.1.6 (clli); ICC.1:2022,
9.2.17 and 10.3.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from hashwacht.hashing.decoders import PartlyDecoded

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

CODE_POINTS = "code_points"
"""The key in ``info`` of an image: a tuple of those that may apply."""

_SIGNATURE = 8
_CHUNK = struct.Struct(">I4s")
_STEP = 10_000
"""A candela per square metre in a PNG."""

_LENGTHS = {b"cICP": 4, b"cLLI": 8, b"mDCV": 24}
_PRIMARIES = frozenset({1, *range(4, 13), 22})
"""That H.273 defines; a ``cICP`` with others is ignored."""

_UNSPECIFIED = 2

_COLOURS = re.compile(rb"colr(?:.{8})?nclx(.{4})", re.DOTALL)
_BRIGHTNESS = re.compile(rb"\0\0\0\x0cclli(..)", re.DOTALL)
_MOST = 6
"""Combinations of properties in an AVIF that are tried: which of them applies is not examined."""

_SRGB_TRANSFERS = frozenset({1, 6, 11, 14, 15})
"""Of a video; browsers show them in AVIF and by ICC profiles like sRGB, but not in PNG."""

_TAGS, _TAG = 128, struct.Struct(">4sII")


class CodePoints(NamedTuple):
    """Primaries and transfer by their numbers, and the *peak* brightness, 0 if that is unknown.

    *peak* is in candela per square metre.
    """

    primaries: int
    transfer: int
    peak: float = 0


_ASSUMED = tuple(CodePoints(1, transfer) for transfer in (8, 16, 18))
"""What an AVIF may have that states its colours in the coded picture only."""


def add_png_code_points(image: ImageFile, file: BinaryIO) -> None:
    """Add to ``info`` of an opened PNG what *file* states."""
    at = file.tell()
    file.seek(0)
    if points := _png_code_points(file):
        image.info[CODE_POINTS] = (points,)
    file.seek(at)


def add_avif_code_points(image: ImageFile, file: BinaryIO) -> None:
    """Add to ``info`` of an opened AVIF what *file* states; an ICC profile has precedence.

    Raises PartlyDecoded for too many properties.
    """
    if "icc_profile" not in image.info:
        file.seek(0)
        image.info[CODE_POINTS] = _avif_code_points(file.read())


def profile_code_points(profile: bytes) -> CodePoints | None:
    """Return the code points of an ICC profile, which replace its curves; None without any."""
    try:
        (count,) = struct.unpack_from(">I", profile, _TAGS)
        for at in range(_TAGS + 4, min(len(profile), _TAGS + 4 + count * _TAG.size), _TAG.size):
            name, start, length = _TAG.unpack_from(profile, at)
            if name == b"cicp" and length >= 12 and profile[start : start + 4] == b"cicp":  # noqa: PLR2004 - with its head
                return _of_video(*struct.unpack_from("BB", profile, start + 8))
    except struct.error:
        pass
    return None


def _png_code_points(file: BinaryIO) -> CodePoints | None:
    """Return what the first usable chunks before the pixels state; None for nothing."""
    chunks: dict[bytes, bytes] = {}
    for name, body in _small_chunks(file):
        chunks.setdefault(name, body)
    primaries, transfer, matrix, full = chunks.get(b"cICP", bytes(4))
    if primaries not in _PRIMARIES or transfer == _UNSPECIFIED or matrix or not full:
        return None
    brightest, mastered = 0, 0
    if b"cLLI" in chunks:
        (brightest,) = struct.unpack_from(">I", chunks[b"cLLI"])
    if b"mDCV" in chunks:
        (mastered,) = struct.unpack_from(">I", chunks[b"mDCV"], 16)
    return CodePoints(primaries, transfer, (brightest or mastered) / _STEP)


def _small_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield the intact chunks of _LENGTHS before the pixels."""
    file.seek(_SIGNATURE)
    while len(head := file.read(_CHUNK.size)) == _CHUNK.size:
        length, name = _CHUNK.unpack(head)
        if name == b"IDAT":
            return
        if length != _LENGTHS.get(name):
            file.seek(length + 4, 1)
            continue
        body, checksum = file.read(length), file.read(4)
        if checksum == struct.pack(">I", zlib.crc32(name + body)):
            yield name, body


def _avif_code_points(content: bytes) -> tuple[CodePoints, ...]:
    """Return what all properties of a file state, whatever picture in it they belong to."""
    colours = {struct.unpack(">HH", match) for match in _COLOURS.findall(content)}
    if not colours:
        return _ASSUMED
    peaks = {struct.unpack(">H", match)[0] for match in _BRIGHTNESS.findall(content)} or {0}
    points = {
        _of_video(primaries, transfer, peak)
        for (primaries, transfer), peak in product(colours, peaks)
    }
    if len(points) > _MOST:
        raise PartlyDecoded(f"{len(colours)} different statements of the colours")
    return tuple(sorted(points))


def _of_video(primaries: int, transfer: int, peak: float = 0) -> CodePoints:
    return CodePoints(primaries, 13 if transfer in _SRGB_TRANSFERS else transfer, peak)

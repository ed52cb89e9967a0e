"""Damaged PNGs (PNG, third edition).

A browser stops at the first wrong checksum of a chunk with pixels, and at the first error in the
compressed data.  Until all passes of an interlaced picture are there, each pixel is shown as a
block that reaches to the next ones (8.2, Interlaced images).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hashwacht.hashing.damage.part import DecodedPart, Mask, decode_part, transparent

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT"})
_COLOURS = frozenset({b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"eXIf", b"cICP", b"cLLI", b"mDCV"})
"""What changes how the pixels are shown."""

_OPTIONAL = frozenset({b"tRNS", b"acTL", b"fcTL"})
"""Browsers ignore these chunks if they are damaged, where Pillow refuses the file."""

_LENGTHS = {b"acTL": range(8, 9), b"fcTL": range(26, 27)}
_TRANSPARENCY_LENGTHS = {0: range(2, 3), 2: range(6, 7), 3: range(1, 257)}
"""By colour type (11.3.1.1)."""

_WINDOW = 1 << 15
"""Decompressed bytes that Chromium's decoder keeps back: when a checksum is wrong they are lost."""

_HEADER = struct.Struct(">IIBBBBB")
"""The body of IHDR (11.2.1)."""

_COLOUR_TYPE_AT = 25
_PIECE = 1 << 12
_CHECKSUM = 4
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type (11.2.1)."""


class _Chunk(NamedTuple):
    """A chunk: the offset of its body, how long that is, and whether its checksum is right."""

    name: bytes
    at: int
    length: int
    intact: bool


class _Pass(NamedTuple):
    """The pixels of one pass: where they begin, how far apart they are, what each is shown as."""

    left: int
    top: int
    across: int
    down: int
    width: int
    height: int


_PASSES = (
    _Pass(0, 0, 8, 8, 8, 8),
    _Pass(4, 0, 8, 8, 4, 8),
    _Pass(0, 4, 4, 8, 4, 4),
    _Pass(2, 0, 4, 4, 2, 4),
    _Pass(0, 2, 2, 4, 2, 2),
    _Pass(1, 0, 2, 2, 1, 2),
    _Pass(0, 1, 1, 2, 1, 1),
)


def has_wrong_checksum(original: bytes) -> bool:
    """Return whether a browser stops before the end of the pixels where Pillow does not."""
    return any(chunk.name in {b"IDAT", b"fdAT"} and not chunk.intact for chunk in _chunks(original))


def repaired(original: bytes) -> bytes:
    """Return only the chunks that carry stills, with checksums that fit."""
    return _rewritten(original, _PIXELS)


def decode(original: bytes, open_picture: Callable[[bytes], ImageFile]) -> Iterator[Image]:
    """Yield what is decoded before the damage, and then without what Chromium loses of it.

    Raises what Pillow raises if nothing can be decoded.
    """
    end, inflated = _damage(original)
    file = _openable(original[:end], open_picture)
    interlaced = bool(open_picture(file).info.get("interlace"))
    part = decode_part(lambda: open_picture(file))
    yield _shown(part, interlaced=interlaced)
    if inflated is not None:
        known = part.known & _within(file, inflated - _WINDOW, interlaced=interlaced)
        if known.any():
            yield _shown(replace(part, known=known), interlaced=interlaced)


def _openable(original: bytes, open_picture: Callable[[bytes], ImageFile]) -> bytes:
    """Return what changes the pixels and how they are shown, the latter if Pillow accepts it."""
    file = _rewritten(original, _PIXELS | _COLOURS)
    try:
        open_picture(file)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises anything
        return _rewritten(original, _PIXELS)
    return file


def _shown(part: DecodedPart, *, interlaced: bool) -> Image:
    return _expanded(part) if interlaced and part.known.any() else part.image()


def _within(file: bytes, inflated: int, *, interlaced: bool) -> Mask:
    """Return which pixels are in the first *inflated* bytes of the decompressed rows."""
    width, height, depth, colour = struct.unpack_from(">IIBB", file, len(SIGNATURE) + 8)
    known = np.zeros((height, width), bool)
    for left, top, across, down, *_ in _PASSES if interlaced else [(0, 0, 1, 1)]:
        pixels = known[top::down, left::across]
        if pixels.size:
            length = _row_length(pixels.shape[1], depth, colour)
            rows = max(0, min(inflated // length, len(pixels)))
            pixels[:rows] = True
            inflated -= rows * length if rows == len(pixels) else inflated
    return known


def _row_length(columns: int, depth: int, colour: int) -> int:
    """Return the bytes of a decompressed row, its filter included."""
    return 1 + (columns * depth * _SAMPLES[colour] + 7) // 8


def _rows_length(header: bytes) -> int:
    """Return the bytes of all decompressed rows by the body of IHDR; 0 if that is not valid."""
    if len(header) < _HEADER.size:
        return 0
    width, height, depth, colour, _, _, interlaced = _HEADER.unpack_from(header)
    if colour not in _SAMPLES:
        return 0
    return sum(
        len(range(top, height, down)) * _row_length(len(range(left, width, across)), depth, colour)
        for left, top, across, down, *_ in (_PASSES if interlaced else [(0, 0, 1, 1)])
    )


def _expanded(part: DecodedPart) -> Image:
    """Return the picture with the pixels of all passes as blocks; later passes refine them."""
    from PIL import Image as Pillow

    decoded = transparent(part.decoded, part.known)
    pixels = np.asarray(decoded).view(np.uint32)[:, :, 0]
    blocks = np.zeros_like(pixels)
    for left, top, across, down, width, height in _PASSES:
        rows = part.known[top::down, left::across].all(axis=1)
        count = int(np.argmin(np.append(rows, False)))
        samples = pixels[top::down, left::across][:count]
        for below in range(height):
            for beside in range(width):
                covered = blocks[top + below :: down, left + beside :: across][:count]
                covered[:] = samples[: covered.shape[0], : covered.shape[1]]
    result = Pillow.fromarray(blocks[:, :, None].view(np.uint8), "RGBA")
    result.info = decoded.info
    return result


def _damage(original: bytes) -> tuple[int, int | None]:
    """Return the offset where the pixels end or are wrong, and what is decompressed until there.

    The latter is None if nothing is missing but the end of the file, or only the checksum of the
    decompressed rows is wrong: then nothing is lost.  What follows the rows is not decompressed.
    """
    inflate, inflated, most = zlib.decompressobj(), 0, 0
    for chunk in _chunks(original):
        if chunk.name == b"IHDR":
            most = _rows_length(original[chunk.at : chunk.at + _HEADER.size]) + _WINDOW
        if chunk.name != b"IDAT":
            continue
        end = min(chunk.at + chunk.length, len(original))
        for at in range(chunk.at, end, _PIECE):
            if inflate.eof or inflated >= most:
                break
            before, piece = inflate.copy(), original[at : min(at + _PIECE, end)]
            try:
                inflated += len(inflate.decompress(piece))
            except zlib.error as error:
                used, more = _inflated(before, piece)
                if "data check" in str(error):
                    return at + used - _CHECKSUM, None
                return at + used, inflated + more
        if not chunk.intact and chunk.at + chunk.length + _CHECKSUM <= len(original):
            return end, inflated
    return len(original), None


def _inflated(inflate: zlib._Decompress, piece: bytes) -> tuple[int, int]:
    """Return the number of bytes up to the one with an error, and what is decompressed of them."""
    used, inflated = 0, 0
    with suppress(zlib.error):
        for used in range(1, len(piece) + 1):
            inflated += len(inflate.decompress(piece[used - 1 : used]))
    return used, inflated


def _rewritten(original: bytes, names: frozenset[bytes]) -> bytes:
    """Return the chunks of these names; those with the pixels even if their checksum is wrong."""
    return b"".join(
        [
            SIGNATURE,
            *(
                _chunk(chunk.name, original[chunk.at : chunk.at + chunk.length])
                for chunk in _chunks(original)
                if chunk.name in names and _is_usable(chunk, original)
            ),
            _chunk(b"IEND", b""),
        ]
    )


def _is_usable(chunk: _Chunk, original: bytes) -> bool:
    """Return whether a browser uses a chunk; damaged pixels are used, other damage is ignored."""
    if chunk.name not in _OPTIONAL:
        return chunk.intact or chunk.name in _PIXELS
    colour = original[_COLOUR_TYPE_AT]
    lengths = _LENGTHS.get(chunk.name) or _TRANSPARENCY_LENGTHS.get(colour, range(0))
    return chunk.intact and chunk.length in lengths


def _chunks(original: bytes) -> Iterator[_Chunk]:
    """Yield the chunks (5.3), the last one perhaps not complete."""
    at = len(SIGNATURE)
    while at + 8 <= len(original):
        length, name = struct.unpack_from(">I4s", original, at)
        end = at + 8 + length
        checksum = zlib.crc32(memoryview(original)[at + 4 : end])
        yield _Chunk(name, at + 8, length, original[end : end + 4] == struct.pack(">I", checksum))
        at = end + 4


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

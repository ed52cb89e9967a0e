"""Small picture files that promise a large picture, byte by byte, unlike any encoder's."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Mapping

from demo.pictures import encode, flat


def small(name: str) -> bytes:
    """Encode a 64x64 picture of one colour."""
    return encode(flat(100, (64, 64)), name)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Write a black PNG of 1 bit a pixel; beyond 200 million pixels, only the header."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    pixels = b""
    if width * height <= 200_000_000:
        row = bytes(1 + -(-width // 8))
        rows = max(1, (1 << 20) // len(row))
        many = row * rows
        pixels = b"".join(packer.compress(many) for _ in range(height // rows))
        pixels += packer.compress(row * (height % rows))
    pixels += packer.flush()
    parts = ((b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def itxt(bomb: bytes) -> tuple[bytes, bytes]:
    """Return a chunk of compressed text."""
    return b"iTXt", b"a\0\1\0\0\0" + bomb


def webp(width: int, height: int) -> bytes:
    """Write a WebP of one colour: in the lossless form (RFC 9649) a pixel then takes no bit."""
    content = bytearray(encode(flat(100, (64, 64)), "webp-lossless"))
    at = content.index(b"VP8L") + 9
    bits = int.from_bytes(content[at : at + 4], "little") & 0xF000_0000
    content[at : at + 4] = (bits | (height - 1) << 14 | (width - 1)).to_bytes(4, "little")
    return bytes(content)


def isobmff(name: str, side: int) -> bytes:
    """Write an AVIF or HEIC whose properties (``ispe``) promise a large picture."""
    content = bytearray(small(name))
    for match in re.finditer(b"ispe", bytes(content)):
        content[match.end() + 4 : match.end() + 12] = struct.pack(">II", side, side)
    return bytes(content)


def tiff(width: int, height: int) -> bytes:
    """Write an LZW TIFF with another size in its tags 256, 257 and 278 (rows of a strip)."""
    content = bytearray(small("tiff-lzw"))
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    sizes: Mapping[int, int] = {256: width, 257: height, 278: max(1, height)}
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", content, entry)
        if tag in sizes:
            struct.pack_into("<HII", content, entry + 2, 4, 1, sizes[tag] & 0xFFFF_FFFF)
    return bytes(content)


def circle(start: int) -> bytes:
    """Write a TIFF structure whose only directory, at *start*, links to itself."""
    return b"II*\0" + struct.pack("<I", start) + struct.pack("<HI", 0, start)


def paged_in_a_circle() -> bytes:
    """Make the last page of a TIFF link to the first."""
    content = bytearray(small("tiff"))
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    struct.pack_into("<I", content, directory + 2 + 12 * count, directory)
    return bytes(content)


def bmp(width: int, height: int) -> bytes:
    """Write a BMP with another size in its header."""
    content = bytearray(small("bmp"))
    struct.pack_into("<ii", content, 18, width, height)
    return bytes(content)


def jpeg2000(side: int) -> bytes:
    """Write the boxes of a JPEG 2000 file up to its size (ISO 15444-1, annex I)."""
    header = struct.pack(">I4sIIHBBBB", 22, b"ihdr", side, side, 1, 7, 7, 0, 0)
    boxes = (b"jP  \r\n\x87\n", b"ftypjp2 \0\0\0\0jp2 ", b"jp2h" + header)
    return b"".join(struct.pack(">I", len(box) + 4) + box for box in boxes)


def jpeg(width: int, height: int, *segments: bytes) -> bytes:
    """Write a JPEG with another size in its frame header and more segments before it."""
    content = bytearray(small("jpeg"))
    at = content.index(b"\xff\xc0") + 5
    struct.pack_into(">HH", content, at, height, width)
    content[2:2] = b"".join(segments)
    return bytes(content)


def exif(body: bytes) -> bytes:
    """Return an EXIF segment."""
    return b"\xff\xe1" + struct.pack(">H", len(body) + 8) + b"Exif\0\0" + body


def icc(number: int) -> bytes:
    """Return one of 255 parts of a colour profile."""
    body = b"ICC_PROFILE\0" + bytes((number, 255)) + b"x" * 60_000
    return b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body


def oriented() -> bytes:
    """Return EXIF with an invalid orientation."""
    entry = struct.pack("<HHII", 274, 4, 0xFFFF_FFFF, 0xFFFF_FFFF)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + bytes(4)


def progressive(side: int, scans: int) -> bytes:
    """Write a progressive JPEG that repeats its last scan: each is decoded over all pixels."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (64, 64), 100).save(file, "JPEG", progressive=True)
    content = bytearray(file.getvalue())
    struct.pack_into(">HH", content, content.index(b"\xff\xc2") + 5, side, side)
    last = bytes(content).rindex(b"\xff\xda")
    return bytes(content[:last]) + bytes(content[last:-2]) * scans + bytes(content[-2:])


def gif(frames: int, side: int, *, code_size: int = 2) -> bytes:
    """Write a GIF (GIF89a specification) of many frames of one pixel on a large screen."""
    screen = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    still = b"\x21\xf9\x04\x04\x01\0\0\0\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    frame = still[:9] + struct.pack("<HHHHB", 1, 1, 1, 1, 0)
    pixel = bytes((code_size,)) + b"\x02\x44\x01\0"
    picture = still + pixel + frame + pixel
    return screen + picture * (frames // 2) + (still + pixel) * (frames % 2) + b";"

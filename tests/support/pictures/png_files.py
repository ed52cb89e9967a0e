"""PNG files with bad or unusual chunks (PNG 3)."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from PIL.Image import Image

from demo.pictures import encode

Chunks = list[tuple[bytes, bytes]]

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, body: bytes, *, good: bool = True) -> bytes:
    """Return a chunk; its checksum is wrong unless *good*."""
    checksum = zlib.crc32(name + body) ^ (0 if good else 1)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)


def chunks(content: bytes) -> Chunks:
    """Return the chunks of a PNG."""
    parts, at = [], len(SIGNATURE)
    while at < len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        parts.append((name, content[at + 8 : at + 8 + length]))
        at += 12 + length
    return parts


def png(parts: Chunks) -> bytes:
    """Return a PNG of chunks."""
    return SIGNATURE + b"".join(chunk(name, body) for name, body in parts)


_AFTER_HEADER = (
    ("short-gama", b"gAMA", b"\0"),
    ("zero-gama", b"gAMA", bytes(4)),
    ("short-chrm", b"cHRM", b"\0"),
    ("long-srgb", b"sRGB", bytes(9)),
    ("nonsense-icc", b"iCCP", b"a\0\0nonsense"),
    ("empty-icc", b"iCCP", b""),
    ("nonsense-exif", b"eXIf", b"II*\0nonsense"),
    ("empty-phys", b"pHYs", b""),
    ("nonsense-text", b"zTXt", b"a\0\0nonsense"),
    ("nonsense-itxt", b"iTXt", b"a\0\1\0\0\0nonsense"),
    ("empty-text", b"tEXt", b""),
    ("short-time", b"tIME", b"\0"),
    ("short-sbit", b"sBIT", b"\0"),
    ("zero-sbit", b"sBIT", bytes(3)),
    ("empty-trns", b"tRNS", b""),
    ("short-trns", b"tRNS", b"\0"),
    ("long-trns", b"tRNS", bytes(300)),
    ("empty-bkgd", b"bKGD", b""),
    ("long-plte", b"PLTE", bytes(900)),
    ("odd-plte", b"PLTE", bytes(10)),
    ("suggested-plte", b"PLTE", bytes(30)),
    ("empty-actl", b"acTL", b""),
    ("zero-actl", b"acTL", bytes(8)),
    ("lying-actl", b"acTL", struct.pack(">II", 3, 0)),
    ("stray-fctl", b"fcTL", bytes(26)),
    ("unknown-ancillary", b"abCd", b"unknown"),
    ("unknown-critical", b"ABCD", b"unknown"),
    ("second-header", b"IHDR", bytes(13)),
    ("empty-idat", b"IDAT", b""),
    ("cicp", b"cICP", bytes((9, 16, 0, 1))),
    ("nonsense-cicp", b"cICP", b"x"),
)


def png_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield PNG files with names."""
    plain = chunks(encode(picture, "png"))
    header, rest = plain[:1], plain[1:]
    for name, kind, body in _AFTER_HEADER:
        yield f"png-{name}", png([*header, (kind, body), *rest])
        broken = chunk(kind, body, good=False)
        yield f"png-{name}-bad-checksum", png(header) + broken + png(rest)[len(SIGNATURE) :]
    yield from _palettes(picture)
    pixels = b"".join(body for name, body in rest if name == b"IDAT")
    slices = [(b"IDAT", pixels[at : at + 7]) for at in range(0, len(pixels), 7)]
    yield "png-idat-of-7-bytes", png([*header, *slices, (b"IEND", b"")])
    yield "png-without-end", png([part for part in plain if part[0] != b"IEND"])
    yield "png-appended", png(plain) + bytes(2000)
    yield "png-text-between-idat", png([*header, *slices[:9], (b"tEXt", b"a\0b"), *slices[9:]])
    data = encode(picture, "png")
    at = data.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">I", data, at)
    wrong = data[: at + 8 + length] + bytes(4) + data[at + 12 + length :]
    yield "png-bad-checksum-of-pixels", wrong
    yield "png-bad-checksum-of-header", data[:29] + bytes(4) + data[33:]
    yield "png-bad-checksum-of-end", data[:-4] + bytes(4)
    for name in ("png-grey", "png-16-bit", "png-alpha", "png-palette", "png-animated"):
        yield name, encode(picture, name)


def _palettes(picture: Image) -> Iterator[tuple[str, bytes]]:
    file = io.BytesIO()
    picture.quantize(200).save(file, "PNG")
    plain = chunks(file.getvalue())
    at = next(index for index, part in enumerate(plain) if part[0] == b"PLTE")
    before, palette, after = plain[:at], plain[at], plain[at + 1 :]
    opaque = b"\xff" * 200
    for name, parts in {
        "trns-too-long": [palette, (b"tRNS", opaque + bytes(100))],
        "trns-before-plte": [(b"tRNS", opaque), palette],
        "trns-empty": [palette, (b"tRNS", b"")],
        "trns-twice": [palette, (b"tRNS", opaque), (b"tRNS", bytes(200))],
        "plte-twice": [palette, (b"PLTE", bytes(600))],
        "hist": [palette, (b"hIST", b"\0")],
        "plte-too-long": [(b"PLTE", palette[1] + bytes(300))],
    }.items():
        yield f"png-palette-{name}", png([*before, *parts, *after])

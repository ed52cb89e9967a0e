"""WebP files with odd chunks (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL.Image import Image

from demo.pictures import encode


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk, padded to an even length."""
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def webp(*chunks: bytes) -> bytes:
    """Return a WebP of chunks."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield WebP files with names."""
    for name in ("webp", "webp-lossless", "webp-alpha", "webp-animated"):
        yield name, encode(picture, name)
    still = encode(picture, "webp")[12:]
    width, height = picture.size

    def extended(flags: int) -> bytes:
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        return chunk(b"VP8X", bytes((flags, 0, 0, 0)) + sides)

    unknown, exif = chunk(b"ABCD", b"unknown"), chunk(b"EXIF", b"nonsense")
    for name, parts in {
        "extended": [extended(0), still],
        "unknown-first": [unknown, still],
        "unknown-after-extended": [extended(0), unknown, still],
        "unknown-last": [extended(0), still, unknown],
        "nonsense-exif": [extended(8), still, exif],
        "nonsense-icc": [extended(0x20), chunk(b"ICCP", b"nonsense"), still],
        "icc-flag-alone": [extended(0x20), still],
        "alpha-flag-alone": [extended(0x10), still],
        "animation-flag-alone": [extended(2), still],
        "twice": [still, still],
    }.items():
        yield f"webp-{name}", webp(*parts)
    content = webp(still)
    yield "webp-appended", content + bytes(999)
    yield "webp-size-0", content[:4] + bytes(4) + content[8:]
    yield "webp-size-large", content[:4] + struct.pack("<I", len(content) + 5000) + content[8:]
    yield "webp-size-maximal", content[:4] + b"\xff\xff\xff\xff" + content[8:]

"""GIF files of unusual structure (GIF89a specification), without compression of their own."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from PIL import Image as Pillow
from PIL.Image import Image

from demo.pictures import encode

_GLOBAL_PALETTE_AT = 13
_COLOURS = 128


def _parts(picture: Image) -> tuple[bytes, bytes, bytes]:
    """Return screen descriptor, palette and the image with its descriptor."""
    file = io.BytesIO()
    picture.quantize(_COLOURS).save(file, "GIF")
    content = file.getvalue()
    size = 3 << ((content[10] & 7) + 1)
    palette = content[_GLOBAL_PALETTE_AT : _GLOBAL_PALETTE_AT + size]
    at = content.index(b",", _GLOBAL_PALETTE_AT + size)
    return content[:_GLOBAL_PALETTE_AT], palette, content[at:-1]


def _screen(width: int, height: int, flags: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, flags, 0, 0)


def _control(disposal: int, delay: int = 10) -> bytes:
    return b"\x21\xf9\x04" + struct.pack("<BHB", disposal << 2, delay, 0) + b"\0"


def gif_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield GIF files with names."""
    yield "gif", encode(picture, "gif")
    yield "gif-animated", encode(picture, "gif-animated")
    screen, palette, image = _parts(picture)
    width, height = picture.size
    bits = screen[10] & 7
    local = image[:9] + bytes((0x80 | bits,)) + palette + image[10:]
    empty = b"," + struct.pack("<HHHHB", 0, 0, 0, 0, 0) + image[10:11] + b"\0"
    flat = Pillow.new("P", picture.size, 3)
    flat.putpalette(palette)
    other = io.BytesIO()
    flat.save(other, "GIF")
    plain = _parts(flat)[2]
    for name, parts in {
        "local-palette": [_screen(width, height, 0), local],
        "no-palette": [_screen(width, height, 0x70 | bits), image],
        "zero-screen": [_screen(0, 0, 0x80 | bits), palette, image],
        "small-screen": [_screen(width // 2, height // 2, 0x80 | bits), palette, image],
        "large-screen": [_screen(width + 4, height + 4, 0x80 | bits), palette, image],
        "gif87a": [b"GIF87a" + screen[6:], palette, image],
        "empty-frame-first": [screen, palette, empty, image],
        "empty-frame-last": [screen, palette, image, empty],
        "extension-unknown": [screen, palette, b"\x21\x01\x03abc\0", image],
        "comment": [screen, palette, b"\x21\xfe\x03abc\0", image],
        "application": [screen, palette, b"\x21\xff\x0bNETSCAPE2.0\0", image],
        "control-short": [screen, palette, b"\x21\xf9\x01\0\0", image],
        "bytes-between": [screen, palette, bytes(20), image],
        "frame-second": [screen, palette, _control(1), plain, _control(1), image],
        "disposal-2": [screen, palette, _control(2), plain, _control(2), image],
        "disposal-3": [screen, palette, _control(3), plain, _control(3), image],
        "disposal-7": [screen, palette, _control(7), plain, _control(7), image],
        "delay-0": [screen, palette, _control(1, 0), image, _control(1, 0), plain],
    }.items():
        yield f"gif-{name}", b"".join(parts) + b";"
    yield "gif-without-end", b"".join([screen, palette, image])

"""Picture files in every coding whose damage viewers survive, and damage to them.

::

    for name, content in codings(image):
        for damage, damaged_content in damaged(content, random):
            ...
"""

from __future__ import annotations

import io
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from PIL import Image as Pillow
from PIL.Image import Image

Random = np.random.Generator
Damage = Callable[[bytes, Random], bytes]

_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""The first column and row of each pass of Adam7, and how far the next ones are apart."""

_COLOUR_TYPES = {"L": 0, "RGB": 2, "RGBA": 6}
_HEADERS = 700
"""Bytes of most headers: what is changed there is seldom shown at all."""


def codings(image: Image) -> Iterator[tuple[str, bytes]]:
    """Yield *image* in every coding."""
    plain, grey = image.convert("RGB"), image.convert("L")
    see_through = plain.copy()
    see_through.putalpha(Pillow.linear_gradient("L").resize(image.size))
    for name, (form, source, options) in _saved(plain, grey, see_through).items():
        yield name, _encoded(source, form, options)
    for name, source in {"": plain, "-grey": grey, "-alpha": see_through}.items():
        yield f"png{name}-interlaced", interlaced_png(source)
    sequential = _encoded(plain, "JPEG", {"quality": 85})
    yield "jpeg-arithmetic", arithmetic_jpeg(sequential)
    yield "jpeg-arithmetic-progressive", arithmetic_jpeg(sequential, "-progressive")


def _saved(
    plain: Image, grey: Image, see_through: Image
) -> Mapping[str, tuple[str, Image, Mapping[str, object]]]:
    palette, icon = plain.quantize(64), plain.resize((256, 192))
    frames = {"save_all": True, "append_images": [plain.rotate(angle) for angle in (90, 180)]}
    return {
        "jpeg": ("JPEG", plain, {"quality": 85}),
        "jpeg-progressive": ("JPEG", plain, {"quality": 85, "progressive": True}),
        "jpeg-grey": ("JPEG", grey, {"quality": 85}),
        "jpeg-cmyk": ("JPEG", plain.convert("CMYK"), {"quality": 85}),
        "jpeg-restarts": ("JPEG", plain, {"quality": 85, "restart_marker_rows": 1}),
        "png": ("PNG", plain, {}),
        "png-alpha": ("PNG", see_through, {}),
        "png-palette": ("PNG", palette, {}),
        "png-16-bit": ("PNG", _deep(grey), {}),
        "png-animated": ("PNG", plain, frames),
        "gif": ("GIF", palette, {"interlace": 0}),
        "gif-interlaced": ("GIF", palette, {"interlace": 1}),
        "gif-animated": ("GIF", plain, frames),
        "webp": ("WEBP", plain, {"quality": 80}),
        "webp-lossless": ("WEBP", plain, {"lossless": True}),
        "webp-alpha": ("WEBP", see_through, {"quality": 80}),
        "webp-animated": ("WEBP", plain, frames),
        "bmp": ("BMP", plain, {}),
        "icon": ("ICO", icon, {"sizes": [(64, 48), (256, 192)]}),
        "icon-bitmap": ("ICO", icon, {"sizes": [(256, 192)], "bitmap_format": "bmp"}),
        "avif": ("AVIF", plain, {"quality": 70, "speed": 9}),
    }


def _deep(grey: Image) -> Image:
    return Pillow.fromarray(np.asarray(grey, np.uint16) << 8)


def _encoded(image: Image, form: str, options: Mapping[str, object]) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def arithmetic_jpeg(jpeg: bytes, *options: str) -> bytes:
    """Code a JPEG arithmetically, which Pillow reads but does not write."""
    command = ["jpegtran", "-arithmetic", *options]
    return subprocess.run(command, input=jpeg, capture_output=True, check=True).stdout


def interlaced_png(image: Image) -> bytes:
    """Encode by Adam7, which Pillow reads but does not write."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    rows = b"".join(
        b"\0" + row.tobytes()
        for left, top, across, down in _PASSES
        for row in pixels[top::down, left::across]
        if row.size
    )
    header = struct.pack(">IIBBBBB", *image.size, 8, _COLOUR_TYPES[image.mode], 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def cut(content: bytes, random: Random) -> bytes:
    """Keep the beginning, more than a fiftieth."""
    return content[: int(random.integers(max(30, len(content) // 50), len(content)))]


def flipped(content: bytes, random: Random, count: int = 1) -> bytes:
    """Change *count* bits after the headers."""
    changed, start = bytearray(content), min(_HEADERS, len(content) // 2)
    for at in random.integers(start, len(content), count):
        changed[int(at)] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _flipped_often(content: bytes, random: Random) -> bytes:
    return flipped(content, random, 8)


def zeroed(content: bytes, random: Random) -> bytes:
    """Overwrite up to 200 bytes after the headers, as a bad block of a disk."""
    at, length = _place(content, random)
    return content[:at] + bytes(len(content[at : at + length])) + content[at + length :]


def lossy(content: bytes, random: Random) -> bytes:
    """Leave out up to 200 bytes after the headers, as a broken transfer."""
    at, length = _place(content, random)
    return content[:at] + content[at + length :]


def _place(content: bytes, random: Random) -> tuple[int, int]:
    start = min(_HEADERS, len(content) // 2)
    return int(random.integers(start, len(content))), int(random.integers(1, 200))


DAMAGES: Mapping[str, Damage] = {
    "cut": cut,
    "flip": flipped,
    "flips": _flipped_often,
    "zeros": zeroed,
    "lost": lossy,
}


def damaged(content: bytes, random: Random) -> Iterator[tuple[str, bytes]]:
    """Yield a file once with each damage; the same *random* state gives the same files."""
    for name, damage in DAMAGES.items():
        yield name, damage(content, random)

"""JPEG files with unusual markers and samplings (ITU-T T.81, annex B)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

from PIL.Image import Image

from demo.pictures import encode

Change = Callable[[bytes], bytes]

_JFIF_END = 20
"""The end of the JFIF segment, which libjpeg writes first."""


def segment(marker: int, body: bytes) -> bytes:
    """Return a marker segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _before(inserted: bytes) -> Change:
    """Insert bytes after the start of the image."""
    return lambda content: content[:2] + inserted + content[2:]


def _first(inserted: bytes) -> Change:
    """Replace the JFIF segment."""
    return lambda content: content[:2] + inserted + content[_JFIF_END:]


def _before_frame(inserted: bytes) -> Change:
    """Insert bytes before the frame header."""

    def change(content: bytes) -> bytes:
        at = content.index(b"\xff\xc0")
        return content[:at] + inserted + content[at:]

    return change


def _nonsense_exif() -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\xff" * 20


_CHANGES: Mapping[str, Change] = {
    "empty-app0": _first(segment(0xE0, b"")),
    "short-app0": _first(segment(0xE0, b"JFIF\0")),
    "other-app0": _first(segment(0xE0, b"nothing")),
    "second-empty-app0": _before(segment(0xE0, b"")),
    "without-app0": _first(b""),
    "jfxx": _before_frame(segment(0xE0, b"JFXX\0\x10")),
    "empty-app1": _before(segment(0xE1, b"")),
    "short-exif": _before(segment(0xE1, b"Exif\0")),
    "nonsense-exif": _before(segment(0xE1, _nonsense_exif())),
    "short-icc": _before(segment(0xE2, b"ICC_PROFILE\0")),
    "nonsense-icc": _before(segment(0xE2, b"ICC_PROFILE\0\1\1nonsense")),
    "nonsense-mpf": _before(segment(0xE2, b"MPF\0nonsense")),
    "short-photoshop": _before(segment(0xED, b"Photoshop 3.0\0")),
    "nonsense-photoshop": _before(segment(0xED, b"Photoshop 3.0\0" + b"8BIM" + b"\xff" * 30)),
    "empty-adobe": _before_frame(segment(0xEE, b"")),
    "short-adobe": _before_frame(segment(0xEE, b"Adobe")),
    "empty-comment": _before(segment(0xFE, b"")),
    "all-applications-empty": _before(b"".join(segment(0xE0 + n, b"") for n in range(16))),
    "fill-bytes": _before(b"\xff" * 30),
    "fill-before-frame": _before_frame(b"\xff\xff\xff"),
    "garbage-before-frame": _before_frame(b"garbage"),
    "reserved-marker": _before(segment(0xF0, b"reserved")),
    "jpg-marker": _before(segment(0xC8, b"reserved")),
    "standalone-tem": _before(b"\xff\x01"),
    "restart-interval-0": _before_frame(segment(0xDD, b"\0\0")),
    "without-end": lambda content: content[:-2],
    "appended": lambda content: content + bytes(3000),
    "twice": lambda content: content + content,
    "unused-arithmetic": _before_frame(segment(0xCC, b"\x00\x10")),
    "expand": _before_frame(segment(0xDF, b"\x00")),
}


def jpeg_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield JPEG files with names."""
    plain = encode(picture, "jpeg")
    for name, change in _CHANGES.items():
        yield f"jpeg-{name}", change(plain)
    for name in ("jpeg", "jpeg-progressive", "jpeg-grey", "jpeg-cmyk"):
        yield name, encode(picture, name)
    for sampling in (0, 1, 2):
        yield f"jpeg-sampling-{sampling}", encode(picture, "jpeg", subsampling=sampling)
    yield "jpeg-rgb", encode(picture, "jpeg", keep_rgb=True)
    yield "jpeg-restarts", encode(picture, "jpeg", restart_marker_rows=1)

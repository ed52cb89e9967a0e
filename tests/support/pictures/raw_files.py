"""Raw files of cameras, reduced to what their readers look for: headers, previews and noise."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import numpy as np
from PIL.Image import Image

from demo.pictures import encode
from support.pictures.isobmff_files import box

_MAKE, _SUB_DIRECTORIES, _DNG_VERSION = 0x10F, 0x14A, 0xC612
_HEADER = 8


def _directory(entries: Mapping[int, tuple[int, int, int]], *, signature: bytes) -> bytes:
    """Return a TIFF with one directory at once after its header: tag to (type, count, value)."""
    order = ">" if signature.startswith(b"MM") else "<"
    fields = b"".join(struct.pack(f"{order}HHII", tag, *entries[tag]) for tag in sorted(entries))
    return signature + struct.pack(f"{order}IH", _HEADER, len(entries)) + fields + bytes(4)


def _sensor() -> bytes:
    """Return a lossless JPEG (T.81, annex H), as sensors' pixels are stored, and noise."""
    noise = np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8).tobytes()
    frame = struct.pack(">BHHBBBB", 14, 3000, 4000, 1, 0, 0x11, 0)
    return b"\xff\xd8\xff\xc3" + struct.pack(">H", len(frame) + 2) + frame + noise


def raw_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield raw files with names; their largest preview shows *picture*."""
    preview = encode(picture, "jpeg")
    thumbnail = encode(picture.resize((64, 48)), "jpeg")
    body = thumbnail + _sensor() + preview + _sensor()
    make = {_SUB_DIRECTORIES: (4, 1, 0)}
    for name, maker, signature in (
        ("nef", b"NIKON CORPORATION\0", b"MM\0*"),
        ("arw", b"SONY\0", b"II*\0"),
        ("pef", b"PENTAX\0", b"MM\0*"),
    ):
        at = _HEADER + 2 + 24 + 4
        start = _directory({_MAKE: (2, len(maker), at), **make}, signature=signature)
        yield f"raw-{name}", start + maker + body
    yield "raw-dng", _directory({_DNG_VERSION: (1, 4, 0x0401)}, signature=b"II*\0") + body
    yield "raw-cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(100) + body
    yield "raw-orf", b"IIRO\x08\0\0\0" + bytes(100) + body
    yield "raw-rw2", b"IIU\0\x18\0\0\0" + bytes(100) + body
    yield "raw-raf", b"FUJIFILMCCD-RAW 0201" + bytes(100) + body
    parts = (
        box(b"ftyp", b"crx \0\0\0\1crx isom"),
        box(b"moov", bytes(40)),
        box(b"uuid", bytes(16) + thumbnail),
        box(b"mdat", preview + _sensor()),
    )
    yield "raw-cr3", b"".join(parts)

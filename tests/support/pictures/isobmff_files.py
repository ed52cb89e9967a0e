"""AVIF and HEIF files with other brands (ISO 14496-12, 4.3; ISO 23008-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from PIL.Image import Image

from demo.pictures import encode


def box(name: bytes, body: bytes) -> bytes:
    """Return a box."""
    return struct.pack(">I", len(body) + 8) + name + body


def branded(content: bytes, major: bytes, compatible: Sequence[bytes], *, large: bool) -> bytes:
    """Replace the file type box by one of the same length, with the rest in a free box after it.

    Offsets in the file stay right.  Raises ValueError if it does not fit.
    """
    (length,) = struct.unpack_from(">I", content)
    body = major + bytes(4) + b"".join(compatible)
    large_box = struct.pack(">I4sQ", 1, b"ftyp", len(body) + 16) + body
    head = large_box if large else box(b"ftyp", body)
    free = length - len(head)
    if free and free < 8:
        raise ValueError(f"{free} bytes cannot be a box")
    return head + (box(b"free", bytes(free - 8)) if free else b"") + content[length:]


def roomy(content: bytes, room: int) -> bytes:
    """Lengthen the file type box by *room* bytes of unknown brands and move all offsets."""
    (length,) = struct.unpack_from(">I", content)
    brands = (b"abc0" * (room // 4))[:room]
    head = struct.pack(">I", length + room) + content[4:16] + brands + content[16:length]
    return head + _moved(content[length:], room)


def _moved(boxes: bytes, by: int) -> bytes:
    """Add *by* to the offsets of an item location box of version 0 with offsets of 4 bytes."""
    at = boxes.index(b"iloc") + 4
    base_size = boxes[at + 5] >> 4
    if boxes[at] or boxes[at + 4] != 0x44 or base_size not in {0, 4}:
        raise ValueError("another form of item locations")
    moved, (count,), position = bytearray(boxes), struct.unpack_from(">H", boxes, at + 6), at + 8
    for _ in range(count):
        (extents,) = struct.unpack_from(">H", boxes, position + 4 + base_size)
        first = position + 6 + base_size
        places = [position + 4] if base_size else range(first, first + 8 * extents, 8)
        for place in places:
            (offset,) = struct.unpack_from(">I", boxes, place)
            struct.pack_into(">I", moved, place, offset + by)
        position = first + 8 * extents
    return bytes(moved)


def avif_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield AVIF files with names."""
    plain = roomy(encode(picture, "avif"), 64)
    yield "avif", encode(picture, "avif")
    yield "avif-animated", encode(picture, "avif-animated")
    for name, major, compatible in (
        ("mif1", b"mif1", [b"avif", b"miaf"]),
        ("miaf", b"miaf", [b"avif"]),
        ("ma1a", b"MA1A", [b"mif1", b"avif"]),
        ("ma1b-alone", b"MA1B", [b"mif1", b"miaf"]),
        ("mif1-alone", b"mif1", [b"miaf"]),
        ("mif2", b"mif2", [b"avif"]),
        ("alone", b"avif", []),
        ("avio", b"avio", [b"avif"]),
        ("avis-still", b"avis", [b"avif"]),
        ("avis-alone", b"avis", []),
        ("heic-too", b"heic", [b"avif", b"mif1"]),
        ("avif-and-heic", b"avif", [b"heic", b"mif1"]),
        ("mp4-too", b"isom", [b"mp42", b"avif"]),
        ("jpeg-too", b"avif", [b"jpeg", b"mif1"]),
    ):
        yield f"avif-{name}", branded(plain, major, compatible, large=False)
    yield "avif-large-box", branded(plain, b"avif", [b"mif1"], large=True)
    yield "avif-many-brands", roomy(encode(picture, "avif"), 4000)
    late = bytearray(branded(roomy(plain, 4000), b"mif1", [b"abc0"] * 900, large=False))
    at = late.index(b"abc0", 3000)
    late[at : at + 4] = b"avif"
    yield "avif-late-brand", bytes(late)
    yield "avif-mini", minimized(picture)


def heif_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield HEIF files with names."""
    plain = roomy(encode(picture, "heic"), 64)
    yield "heic", encode(picture, "heic")
    for name, major, compatible in (
        ("heix", b"heix", [b"mif1"]),
        ("heim", b"heim", [b"mif1"]),
        ("mif1", b"mif1", [b"heic"]),
        ("mif1-alone", b"mif1", []),
        ("mif2", b"mif2", [b"heic"]),
        ("mif2-alone", b"mif2", []),
        ("msf1", b"msf1", [b"hevc", b"heic"]),
        ("mihe", b"MiHE", [b"miaf"]),
        ("miaf-alone", b"miaf", []),
        ("isom", b"isom", [b"heic"]),
    ):
        yield f"heif-{name}", branded(plain, major, compatible, large=False)


def minimized(picture: Image) -> bytes:
    """Return an AVIF with a ``mini`` box instead of ``meta`` (ISO 23008-12, amendment 2)."""
    content = encode(picture, "avif")
    at = content.index(b"av1C") + 4
    config = content[at : at + 4]
    at = content.index(b"mdat")
    (length,) = struct.unpack_from(">I", content, at - 4)
    item = content[at + 4 : at - 4 + length]
    bits = "".join(
        f"{value:0{width}b}"
        for value, width in (
            *((0, 2), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1), (0, 1)),  # full range only
            *((0, 1), (0, 1), (0, 1), (1, 2), (0, 3)),  # no metadata, 4:2:0, not turned
            *((1, 1), (picture.width - 1, 15), (picture.height - 1, 15)),
            *((0, 1), (0, 1), (0, 1)),  # chroma positions, 8 bits
            *((0, 1), (1, 1), (len(config), 3), (len(item) - 1, 28)),
        )
    )
    fields = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return box(b"ftyp", b"mif3avif") + box(b"mini", fields + config + item)

"""Decoding of damaged files: what a browser shows of them.

A browser ignores broken metadata and shows whatever it decoded before the damage; the rest stays
transparent.  A strict decoder raises instead.  So the bytes are rewritten first, and only what
carries pixels is kept.  Pillow has a switch for that (``LOAD_TRUNCATED_IMAGES``), but it applies to
the whole process, a web application included, and does not help WebP.  Then the picture is decoded
as far as possible, and what was not decoded becomes transparent (:mod:`.part`).

The judge is Chromium: ``tests/integration/hashing/test_shown_damage.py`` renders damaged files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from hashwacht.hashing.damage import gif, icon, jpeg, png, webp
from hashwacht.hashing.damage.part import decode_part

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Open = Callable[[bytes], "ImageFile"]
"""Opens a file without decoding it.  Raises what Pillow raises."""


def repair_picture(name: str, original: bytes) -> bytes:
    """Return a file of Pillow's format *name* that a strict decoder accepts, as far as possible."""
    return _REPAIRS[name](original) if name in _REPAIRS else original


def decode_damaged(name: str, original: bytes, open_picture: Open) -> Iterator[Image]:
    """Yield what viewers show of a damaged first frame, mode RGBA; most likely first.

    Usually that is one still.  Raises what Pillow raises if no pixel can be decoded.
    """
    decode = _DECODERS.get(name) or partial(_decode_repaired, name)
    yield from decode(original, open_picture)


def _decode_repaired(name: str, original: bytes, open_picture: Open) -> Iterator[Image]:
    file = repair_picture(name, original)
    yield decode_part(lambda: open_picture(file)).image()


_REPAIRS: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType(
    {"JPEG": jpeg.repaired, "PNG": png.repaired, "WEBP": webp.padded}
)
_DECODERS: Mapping[str, Callable[[bytes, Open], Iterator[Image]]] = MappingProxyType(
    {
        "JPEG": jpeg.decode,
        "PNG": png.decode,
        "GIF": gif.decode,
        "WEBP": webp.decode,
        "ICO": icon.decode,
        "CUR": icon.decode,
    }
)

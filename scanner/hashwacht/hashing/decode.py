"""Which way a picture is decoded.  The one place that chooses.

===========================  ===================================================================
picture                      way
===========================  ===================================================================
JPEG, colour or grey         to grey, at 1/2, 1/4 or 1/8 as long as the short side keeps 512
                             pixels, else at full size: the colours are never computed
progressive JPEG             the same; all its scans have to be read, so it gains less
JPEG in inks (CMYK, YCCK)    in full: what it stores as brightness is not that of the colours
JPEG not over 128 pixels     in full: there is nothing to be saved
PNG, GIF, BMP, TIFF, WebP,   in full: their decoders, as Pillow offers them, cannot do less;
AVIF, HEIC; 16 bits,         hashed a few rows at a time, so that nothing is copied whole
palettes; every frame
===========================  ===================================================================

A plan that is not *quick*, an operator's own picture hash, and a quick hash that is in doubt take
the full way whatever the picture.  512 pixels: at 256 some hashes were 14 bits off, at 512 it
makes no difference to full size in grey (``docs/performance.md``).

How many scans a JPEG has, without decoding any.  Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hashwacht.core.types import QUICK_ERROR_BITS
from hashwacht.hashing.plan import Plan

START_OF_SCAN = b"\xff\xda"

_WORD = int.from_bytes(START_OF_SCAN, "little")

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
"""What ends the coded bytes of a scan: any marker but a stuffed byte, a restart or a filler."""

_END, _SCAN = 0xD9, 0xDA


def count_scan_markers(original: bytes) -> int:
    """Count the markers of scans wherever they stand, ten times as fast as ``bytes.count``.

    As words of two bytes, from the first byte and from the second on.
    """
    import numpy as np

    starts = 0
    for at in range(min(2, len(original))):
        words = np.frombuffer(original, "<u2", (len(original) - at) // 2, at)
        starts += int(np.count_nonzero(words == _WORD))
    return starts


def count_scans(original: bytes) -> int:
    """Count the scans up to the end of the picture; what is appended to it does not count.

    Whatever the bytes are, it is at least as many as a decoder that passes over garbage between
    segments would find before the end.
    """
    scans, at = 0, 2
    while found := _MARKER.search(original, at):
        marker = original[found.start() + 1]
        if marker == _END:
            break
        scans += marker == _SCAN
        length = int.from_bytes(original[found.end() : found.end() + 2], "big")
        at = found.end() + max(length, 2)
    return scans


if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from hashwacht.hashing.grey import GreyImage

LEAST_SIDE = 512
"""Pixels that the short side keeps."""

_TINY = 128
_PHOTO_MODES = frozenset({"RGB", "L"})


def may_reduce(plan: Plan) -> bool:
    """Tell if every picture hash of a plan is content with grey at a lower resolution."""
    from hashwacht.core.signals import DIGESTS

    digests = {each.name for each in DIGESTS}
    commands = dict(plan.commands)
    return plan.quick and not set(plan.types) - QUICK_ERROR_BITS.keys() - digests - commands.keys()


def reduced(image: ImageFile) -> GreyImage | None:
    """Decode an opened JPEG to grey, no larger than needed; None if another way is right for it.

    Raises what Pillow raises of a damaged file.
    """
    import numpy as np
    from PIL.JpegImagePlugin import JpegImageFile

    from hashwacht.hashing.grey import GreyImage

    width, height = image.size
    if not isinstance(image, JpegImageFile) or image.mode not in _PHOTO_MODES:
        return None
    if min(width, height) <= _TINY:
        return None
    drafted = image.draft("L", (LEAST_SIDE, LEAST_SIDE))
    if drafted is None or drafted[0] != "L":
        return None
    image.load()
    return GreyImage(np.asarray(image), height, width, image.decoderconfig[0])

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
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hashwacht.hashing.plan import Plan
from hashwacht.core.types import QUICK_BITS

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from hashwacht.hashing.grey import Grey

LEAST_SIDE = 512
"""Pixels that the short side keeps."""

_TINY = 128
_PHOTO_MODES = frozenset({"RGB", "L"})


def may_reduce(plan: Plan) -> bool:
    """Tell if every picture hash of a plan is content with grey at a lower resolution."""
    from hashwacht.core.signals import DIGESTS

    digests = {each.name for each in DIGESTS}
    commands = dict(plan.commands)
    return plan.quick and not set(plan.types) - QUICK_BITS.keys() - digests - commands.keys()


def reduced(image: ImageFile) -> Grey | None:
    """Decode an opened JPEG to grey, no larger than needed; None if another way is right for it.

    Raises what Pillow raises of a damaged file.
    """
    import numpy as np
    from PIL.JpegImagePlugin import JpegImageFile

    from hashwacht.hashing.grey import Grey

    width, height = image.size
    if not isinstance(image, JpegImageFile) or image.mode not in _PHOTO_MODES:
        return None
    if min(width, height) <= _TINY:
        return None
    drafted = image.draft("L", (LEAST_SIDE, LEAST_SIDE))
    if drafted is None or drafted[0] != "L":
        return None
    image.load()
    return Grey(np.asarray(image), height, width, image.decoderconfig[0])

"""One decoded still picture, in the forms in which signal types want it, each made only once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from hashwacht.hashing.grey import GreyImage, Pixels
    from hashwacht.hashing.quick64 import QuickHash

_GREY = frozenset({"1", "L", "LA"})
_DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})

_SMALL = 1 << 20
"""Pixels up to which a second copy costs less than taking the picture row by row."""


class Picture:
    """A still picture as stored: not turned by its EXIF orientation, not blended on a background.

    *orientations* says that the plan asks for the picture turned and mirrored as well, from
    whoever can tell that without decoding again; *quick*, that hashes may be off by a few bits.
    """

    def __init__(
        self,
        decode: Callable[[], Image],
        *,
        orientations: bool = False,
        quick: bool = False,
        reduced: GreyImage | None = None,
    ) -> None:
        """*decode* gives the loaded image, when first wanted; *reduced* is there already."""
        self._decode = decode
        self.orientations = orientations
        self.quick = quick
        self.reduced = reduced

    @cached_property
    def image(self) -> Image:
        """What Pillow decoded, in the mode of the file; of 16 bits of grey the upper 8."""
        return _eight_bits(self._decode())

    @cached_property
    def rgb(self) -> Image:
        """Mode RGB by Pillow's conversion: what pdqhash's users hash.  Transparency is dropped."""
        return self.image if self.image.mode == "RGB" else self.image.convert("RGB")

    @cached_property
    def grey(self) -> Image:
        """Mode L by Pillow's conversion: what imagehash makes of every picture first."""
        return self.image if self.image.mode == "L" else self.image.convert("L")

    @property
    def pixels(self) -> Pixels:
        """Either RGB, or grey if there is no colour; the luma of both is the same."""
        import numpy as np

        from hashwacht.hashing.grey import PixelRows

        if self.image.width * self.image.height <= _SMALL:
            return np.asarray(self.grey if self.image.mode in _GREY else self.rgb)
        return PixelRows(self.image, "L" if self.image.mode in _GREY else "RGB")

    @cached_property
    def quick64(self) -> tuple[QuickHash, QuickHash]:
        """phash64 and dhash64 of as few samples as were decoded, each with its doubts."""
        from hashwacht.hashing.grey import GreyImage, PixelRows
        from hashwacht.hashing.quick64 import quick64

        if self.reduced is not None:
            return quick64(self.reduced)
        return quick64(GreyImage(PixelRows(self.image, "L"), self.image.height, self.image.width))


def _eight_bits(image: Image) -> Image:
    """Cut 16-bit grey to its upper half, where Pillow itself would clip nearly all to white."""
    if image.mode in _DEEP:
        import numpy as np
        from PIL import Image as Pillow

        upper = np.asarray(image, np.uint16) >> 8
        return Pillow.fromarray(upper.astype(np.uint8))
    if "transparency" not in image.info:
        return image
    still = image.copy()
    del still.info["transparency"]  # makes conversions warn, and changes nothing without alpha
    return still

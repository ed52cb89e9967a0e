"""One decoded still picture in the forms that signal types need, each computed only once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from hashwacht.hashing.grey import GreyImage, Pixels
    from hashwacht.hashing.quick64 import QuickHash

_GREY_MODES = frozenset({"1", "L", "LA"})
_16_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})

_MAX_COPIED_PIXELS = 1 << 20
"""Pixels up to which a second copy costs less than converting the picture row by row."""


class Picture:
    """A still picture as stored: not turned by its EXIF orientation, not blended on a background.

    *orientations*: signal types that can do so without decoding again also hash the rotations and
    reflections.  *quick*: hashes may be a few bits off.
    """

    def __init__(
        self,
        decode: Callable[[], Image],
        *,
        orientations: bool = False,
        quick: bool = False,
        reduced: GreyImage | None = None,
    ) -> None:
        """*decode* returns the loaded image, when first needed; *reduced* is decoded already."""
        self._decode, self.reduced = decode, reduced
        self.orientations, self.quick = orientations, quick

    @cached_property
    def image(self) -> Image:
        """What Pillow decoded, in the mode of the file; of 16-bit grey the upper 8 bits."""
        return _eight_bits(self._decode())

    @cached_property
    def rgb(self) -> Image:
        """Mode RGB by Pillow's conversion, as users of pdqhash hash.  Transparency is dropped."""
        return self.image if self.image.mode == "RGB" else self.image.convert("RGB")

    @cached_property
    def grey(self) -> Image:
        """Mode L by Pillow's conversion, as imagehash converts every picture first."""
        return self.image if self.image.mode == "L" else self.image.convert("L")

    @property
    def pixels(self) -> Pixels:
        """RGB, or grey if there is no colour; the luma of both is the same."""
        import numpy as np

        from hashwacht.hashing.grey import PixelRows

        grey = self.image.mode in _GREY_MODES
        if self.image.width * self.image.height <= _MAX_COPIED_PIXELS:
            return np.asarray(self.grey if grey else self.rgb)
        return PixelRows(self.image, "L" if grey else "RGB")

    @cached_property
    def quick64(self) -> tuple[QuickHash, QuickHash]:
        """phash64 and dhash64 of as few samples as were decoded, with their uncertain bits."""
        from hashwacht.hashing.grey import GreyImage, PixelRows
        from hashwacht.hashing.quick64 import quick64

        if self.reduced is not None:
            return quick64(self.reduced)
        return quick64(GreyImage(PixelRows(self.image, "L"), self.image.height, self.image.width))


def _eight_bits(image: Image) -> Image:
    """Return the upper half of 16-bit grey, where Pillow itself would clip nearly all to white."""
    if image.mode in _16_BIT_MODES:
        import numpy as np
        from PIL import Image as Pillow

        return Pillow.fromarray((np.asarray(image, np.uint16) >> 8).astype(np.uint8))
    if "transparency" not in image.info:
        return image
    still = image.copy()
    del still.info["transparency"]  # makes conversions warn, and changes nothing without alpha
    return still

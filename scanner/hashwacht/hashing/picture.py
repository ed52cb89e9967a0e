"""One decoded still picture in the forms that signal types need, each computed only once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from hashwacht.core.hash64 import picture_quality
from hashwacht.core.views import ViewKind

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

    *views*: signal types that can do so without decoding again hash these views of it as well.
    *quick*: hashes may be a few bits off.
    """

    def __init__(
        self,
        decode: Callable[[], Image],
        *,
        views: frozenset[ViewKind] = frozenset(),
        quick: bool = False,
        reduced: GreyImage | None = None,
        header: Image | None = None,
    ) -> None:
        """*decode* returns the loaded image, when first needed; *reduced* is decoded already.

        *header* is the opened image, for what can be read without decoding.
        """
        self._decode, self.reduced, self._header = decode, reduced, header
        self.views, self.quick = views, quick

    @cached_property
    def decoded(self) -> Image:
        """What Pillow decoded, with everything that the file contains beside the pixels."""
        return self._decode()

    @property
    def sampled(self) -> bool:
        """Whether a JPEG that is too large for its full size was decoded smaller."""
        scaling: Sequence[int] = getattr(self.decoded, "decoderconfig", ())
        return self.decoded.format == "JPEG" and len(scaling) > 0 and scaling[0] > 1

    @property
    def header(self) -> Image:
        """The opened image, perhaps not decoded."""
        return self._header or self.decoded

    @cached_property
    def image(self) -> Image:
        """What Pillow decoded, in the mode of the file; of 16-bit grey the upper 8 bits."""
        return _eight_bits(self.decoded)

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

    @property
    def small_grey(self) -> GreyImage:
        """Grey samples, no more than the search for regions needs.

        The same whether or not hashes may be a few bits off: regions depend on every sample.
        """
        from hashwacht.hashing.grey import shrink

        return self.reduced or shrink(self.image)

    @cached_property
    def samples64(self) -> Image:
        """The 9x8 levels of grey that dhash64 compares, resized as imagehash does."""
        from PIL.Image import Resampling

        return self.grey.resize((9, 8), Resampling.LANCZOS)

    @cached_property
    def quality64(self) -> int:
        """The quality of dhash64, and the greatest one of phash64."""
        import numpy as np

        samples = np.asarray(self.samples64)
        value = int.from_bytes(np.packbits(samples[:, 1:] > samples[:, :-1]).tobytes(), "big")
        return picture_quality(samples.tolist(), value, min(self.image.size))

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

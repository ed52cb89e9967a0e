"""One decoded still picture, in the forms in which signal types want it, each made only once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

_GREY = frozenset({"1", "L", "LA"})
_DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})


class Picture:
    """A still picture as stored: not turned by its EXIF orientation, not blended on a background.

    *image* is what Pillow decoded, in the mode of the file, except that 16 bits of grey are cut to
    the upper 8 as a screen would show them.  *orientations* says that the plan asks for the
    picture turned and mirrored as well, from whoever can tell that without decoding again.
    """

    def __init__(self, image: Image, *, orientations: bool = False) -> None:
        """Take over *image*, which must be loaded."""
        self.image = _eight_bits(image)
        self.orientations = orientations

    @cached_property
    def rgb(self) -> Image:
        """Mode RGB by Pillow's conversion: what pdqhash's users hash.  Transparency is dropped."""
        return self.image if self.image.mode == "RGB" else self.image.convert("RGB")

    @cached_property
    def grey(self) -> Image:
        """Mode L by Pillow's conversion: what imagehash makes of every picture first."""
        return self.image if self.image.mode == "L" else self.image.convert("L")

    @cached_property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """Either (H, W, 3) RGB, or (H, W) if there is no colour; the luma of both is the same."""
        import numpy as np

        return np.asarray(self.grey if self.image.mode in _GREY else self.rgb)


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

"""A grey picture, perhaps decoded at a lower resolution, and linear filters of it.

A JPEG decoder can return every *step* x *step* block of pixels as one (*step* 1, 2, 4 or 8), in a
fraction of the time and memory.  Such a pixel is the mean of its block, to within rounding.  A
filter of the large picture that is linear and separable can therefore be applied to the small
one, by summing its weights over the pixels that each small pixel represents::

    down (n, H) @ large (H, W) @ across (W, n)
        =  summed(down) (n, h) @ small (h, w) @ summed(across) (w, n)

The result is that of the *large* picture, up to the rounding of the decoder; whereas the usual way,
scaling first and hashing then, filters a picture that has been filtered already.

Source: libjpeg's scaled inverse transforms (libjpeg-turbo, ``jddctmgr.c``); the rest is algebra.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_REDUCED_SIDE = 512
"""Pixels that the short side of a reduced picture keeps."""

Array = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


_TURNS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "rotate90": np.rot90,
        "rotate180": lambda pixels: pixels[::-1, ::-1],
        "rotate270": lambda pixels: np.rot90(pixels, 3),
        "flip": np.flipud,
        "flop": np.fliplr,
        "transpose": np.transpose,
        "transverse": lambda pixels: pixels[::-1, ::-1].T,
    }
)


class PixelRows:
    """The pixels of a Pillow image, converted a few rows at a time: no second copy is ever whole.

    Behaves like an array (H, W) for mode L or (H, W, 3) for RGB; ``numpy.asarray`` converts all.
    """

    def __init__(self, image: Image, mode: Literal["L", "RGB"]) -> None:
        self._image, self._mode = image, mode
        self.shape = (image.height, image.width, *([3] if mode == "RGB" else []))
        self.ndim = len(self.shape)

    def __getitem__(self, rows: slice) -> Array:
        top, bottom, _ = rows.indices(self.shape[0])
        strip = self._image.crop((0, top, self.shape[1], bottom))
        return np.asarray(strip if strip.mode == self._mode else strip.convert(self._mode))

    def __array__(self, dtype: object = None, *, copy: bool | None = None) -> Array:
        del dtype, copy
        return self[:]


Pixels = Array | PixelRows
"""Samples of 0 to 255: (H, W) grey or (H, W, 3) RGB."""


@dataclass(frozen=True, slots=True)
class GreyImage:
    """(h, w) samples of a picture of *height* x *width* pixels, one for *step* x *step* of them."""

    pixels: Pixels
    height: int
    width: int
    step: int = 1


def shrink(image: Image) -> GreyImage:
    """Return the grey of a decoded image, of a large one the means of blocks of its pixels."""
    step = max(1, min(image.size) // MIN_REDUCED_SIDE)
    plain = image if image.mode in {"L", "RGB"} else image.convert("L")
    small = plain if step == 1 else plain.reduce(step)
    grey = small if small.mode == "L" else small.convert("L")
    return GreyImage(np.asarray(grey), image.height, image.width, step)


def crop(grey: GreyImage, top: int, left: int, bottom: int, right: int) -> GreyImage:
    """Return the part of a grey picture between these samples."""
    height = min(bottom * grey.step, grey.height) - top * grey.step
    width = min(right * grey.step, grey.width) - left * grey.step
    part = np.asarray(grey.pixels)[top:bottom, left:right]
    return GreyImage(part, height, width, grey.step)


def turned_grey(grey: GreyImage, turn: str) -> GreyImage:
    """Return a grey picture in another orientation, named as in :mod:`hashwacht.core.views`.

    Samples at the lower and right edge that represent fewer pixels are left out.
    """
    height, width = grey.height // grey.step, grey.width // grey.step
    pixels = _TURNS[turn](np.asarray(grey.pixels)[:height, :width])
    return GreyImage(pixels, pixels.shape[0] * grey.step, pixels.shape[1] * grey.step, grey.step)


def sum_weights(operator: Floats, step: int) -> Floats:
    """Sum the weights (n, length) over the pixels of each sample: (n, length / step).

    The last sample may represent fewer pixels: the decoder fills its block beyond the edge.
    """
    if step == 1:
        return operator
    return np.add.reduceat(operator, np.arange(0, operator.shape[1], step), axis=1)

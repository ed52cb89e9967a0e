"""The pixels of a Pillow image a few rows at a time, so that no second copy of it is ever whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[np.uint8]


class Rows:
    """Looks like an array (H, W) for mode L or (H, W, 3) for RGB, and converts what is sliced.

    ``numpy.asarray`` of it gives it whole.
    """

    def __init__(self, image: Image, mode: Literal["L", "RGB"]) -> None:
        """Convert nothing yet."""
        self._image = image
        self._mode = mode
        self.shape = (image.height, image.width, *([3] if mode == "RGB" else []))
        self.ndim = len(self.shape)

    def __getitem__(self, rows: slice) -> Array:
        """Give the rows from a first to a last, both positive."""
        top, bottom, _ = rows.indices(self.shape[0])
        strip = self._image.crop((0, top, self.shape[1], bottom))
        return np.asarray(strip if strip.mode == self._mode else strip.convert(self._mode))

    def __array__(self, dtype: object = None, *, copy: bool | None = None) -> Array:
        """Give all of it, always as a copy."""
        del dtype, copy
        return self[:]


Pixels = Array | Rows
"""Samples of 0 to 255: (H, W) grey or (H, W, 3) RGB."""

"""A grey picture, perhaps decoded at a lower resolution, and what a linear filter makes of it.

A JPEG decoder can give every *step* x *step* block of pixels as one (*step* 1, 2, 4 or 8), in a
fraction of the time and memory.  Such a pixel is the mean of its block, as near as matters here.
A filter of the large picture that is linear and separable can therefore be applied to the small
one, by summing its weights over the pixels that each small pixel stands for::

    down (n, H) @ large (H, W) @ across (W, n)
        =  summed(down) (n, h) @ small (h, w) @ summed(across) (w, n)

so that the result is that of the *large* picture, up to the rounding of the decoder; whereas
scaling first and hashing then, as is usual, filters a picture that has been filtered already.

Source: libjpeg's scaled inverse transforms (libjpeg-turbo, ``jddctmgr.c``); the rest is algebra.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hashwacht.hashing.rows import Pixels

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grey:
    """(h, w) samples of a picture of *height* x *width* pixels, one for *step* x *step* of them."""

    pixels: Pixels
    height: int
    width: int
    step: int = 1


def summed(operator: Floats, step: int) -> Floats:
    """Sum the weights (n, length) over the pixels that one stands for: (n, length / step).

    The last one may stand for fewer: the decoder fills its block beyond the edge of the picture.
    """
    if step == 1:
        return operator
    starts = np.arange(0, operator.shape[1], step)
    return np.add.reduceat(operator, starts, axis=1)

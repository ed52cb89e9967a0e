"""Linear light: the matrix between two sets of primaries, and the curve of sRGB.

Source: IEC 61966-2-1 (sRGB); PNG 3, 11.3.2.1 (cHRM).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hashwacht.hashing.grey import Array, PixelRows

if TYPE_CHECKING:
    from PIL.Image import Image

Matrix = npt.NDArray[np.float64]
Light = npt.NDArray[np.float32]
"""(H, W, 3) of linear light; 1 is white."""

Chromaticities = tuple[float, ...]
"""x and y of white, red, green and blue."""

_STRIP_PIXELS = 1 << 16
_MOST = 1e6
"""More of one primary in another is no more visible, and fits into 32 bits."""

WHITE = (0.3127, 0.3290)
SRGB: Chromaticities = (*WHITE, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)


def mix(theirs: Chromaticities, ours: Chromaticities = SRGB) -> Matrix:
    """Return the matrix from light of their primaries to that of ours, equal for white."""
    with np.errstate(all="ignore"):
        try:
            source = xyz(theirs)
        except (np.linalg.LinAlgError, ZeroDivisionError):
            return np.eye(3)
        target = xyz(ours)
        matrix = np.linalg.inv(target) @ np.diag(target.sum(axis=1) / source.sum(axis=1)) @ source
    return np.clip(matrix, -_MOST, _MOST) if np.isfinite(matrix).all() else np.eye(3)


def xyz(chromaticities: Chromaticities) -> Matrix:
    """Return the columns X, Y, Z of three primaries whose sum is the white point."""
    points = [
        np.array([x, y, 1 - x - y])
        for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)
    ]
    white, *primaries = points
    matrix = np.stack(primaries, axis=1)
    return matrix * np.linalg.solve(matrix, white / white[1])


def encoded(image: Image, light: Callable[[Array], Light]) -> Image:
    """Return what is shown of an image: the light of its levels, of the primaries of sRGB.

    The light is computed a few rows at a time: that of a whole picture would take a hundred bytes
    for each pixel.
    """
    from PIL import Image as Pillow

    source = PixelRows(image, "RGB")
    shown = np.empty(source.shape, np.uint8)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        shown[top : top + rows] = _levels(light(source[top : top + rows]))
    return Pillow.fromarray(shown)


def _levels(light: Light) -> Array:
    """Return light as levels, clipped to 0 to 255."""
    clipped = np.clip(light, 0, 1)
    curve = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)  # noqa: PLR2004 - as in the standard
    levels: Array = np.rint(255 * curve).astype(np.uint8)
    return levels

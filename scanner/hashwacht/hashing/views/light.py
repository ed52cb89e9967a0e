"""Linear light: the matrix between two sets of primaries, and the curve of sRGB.

Source: IEC 61966-2-1 (sRGB); PNG 3, 11.3.2.1 (cHRM).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Light = npt.NDArray[np.float32]
"""(H, W, 3) of linear light; 1 is white."""

Chromaticities = tuple[float, ...]
"""x and y of white, red, green and blue."""

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


def encoded(light: Light) -> npt.NDArray[np.uint8]:
    """Return light of the primaries of sRGB as its levels, clipped to 0 to 255."""
    clipped = np.clip(light, 0, 1)
    curve = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)  # noqa: PLR2004 - as in the standard
    levels: npt.NDArray[np.uint8] = np.rint(255 * curve).astype(np.uint8)
    return levels

"""``imagehash.phash`` without scipy, which costs 35 MB on disk and 17 MB in every worker.

imagehash computes the hash from ``scipy.fftpack.dct``.  In pictures with symmetric or even areas,
many frequencies differ from the median by rounding errors alone, and a product with a matrix of
cosines sets other bits than the hash lists have.  scipy reduces the transform to a real Fourier
transform of the same library that numpy has, pocketfft; the same steps give the same bits.

Source: imagehash 4.3, ``phash``; pocketfft, ``pocketfft_hdronly.h``, ``T_dcst23::exec`` (type 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE = 32
_BITS = 8
_TWIDDLES = np.cos(2 * np.pi * np.arange(1, _SIDE) / (4 * _SIDE))

Doubles = npt.NDArray[np.float64]


def phash(grey: Image) -> str:
    """Return the 16 hexadecimal digits of ``imagehash.phash`` for a picture of mode L."""
    from PIL.Image import Resampling

    samples = np.asarray(grey.resize((_SIDE, _SIDE), Resampling.LANCZOS), np.float64)
    columns = _cosine_transform(samples.T)[:, :_BITS]
    frequencies = _cosine_transform(columns.T)[:, :_BITS]
    return np.packbits(frequencies > _median(frequencies)).tobytes().hex()


def _median(values: Doubles) -> np.float64:
    """Return ``np.median`` of an even number of values, without importing ``numpy.ma`` for it."""
    middle = values.size // 2
    ordered = np.sort(values, axis=None)
    result: np.float64 = (ordered[middle - 1] + ordered[middle]) / 2
    return result


def _cosine_transform(samples: Doubles) -> Doubles:
    """Return the unnormalised cosine transform, type II, of each row of 32 samples."""
    halves = np.array(samples)
    halves[:, [0, -1]] *= 2
    odd, even = halves[:, 1:-1:2], halves[:, 2:-1:2]
    spectrum = np.zeros((len(halves), _SIDE // 2 + 1), np.complex128)
    spectrum.real[:, [0, -1]] = halves[:, [0, -1]]
    spectrum.real[:, 1:-1] = odd + even
    spectrum.imag[:, 1:-1] = even - odd
    result: Doubles = np.fft.irfft(spectrum, _SIDE, norm="forward")
    middle = _SIDE // 2
    low, high = result[:, 1:middle], result[:, :middle:-1]
    near, far = _TWIDDLES[: middle - 1], _TWIDDLES[: middle - 1 : -1]
    total, difference = near * high + far * low, near * low - far * high
    result[:, 1:middle], result[:, :middle:-1] = (
        0.5 * (total + difference),
        0.5 * (total - difference),
    )
    result[:, middle] *= _TWIDDLES[middle - 1]
    return result

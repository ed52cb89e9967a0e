"""phash64 and dhash64 of :mod:`imagehash` without its slow step, and which bits are uncertain.

Both begin with ``Image.resize(…, LANCZOS)`` of the grey picture, to 32x32 and to 9x8, which takes
nearly all of their time.  It is linear and separable, so it is a product with two small matrices,
and may be applied to a picture that was decoded at a lower resolution
(:mod:`hashwacht.hashing.grey`).  Pillow rounds after the rows and after the columns; this decides
bits of pictures with large even areas, so it is done here as well.  A difference remains: a bit
counts as uncertain if its margin is smaller than differences that were seen.

Source: Pillow, ``src/libImaging/Resample.c`` (coefficients, order and rounding of the passes);
imagehash 4.3, ``phash`` and ``dhash``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hashwacht.hashing.grey import Floats, GreyImage

_LOBES = 3
"""Half the width of Pillow's LANCZOS, in pixels of the result."""

_SIDE = 32
_BITS = 8
"""imagehash's defaults: 8x8 of the frequencies of 32x32 samples, 8 differences in 8 rows."""

_PHASH_NOISE = 20.0
"""Largest difference of a frequency seen on a thousand pictures; most frequencies are hundreds."""

_DHASH_NOISE = 0.12
"""Largest difference of a sample before it is rounded, in levels of 256."""

_STRIP = 256
"""Rows converted to floating point at a time."""


@dataclass(frozen=True, slots=True)
class QuickHash:
    """16 hexadecimal digits, and how many of the 64 bits are uncertain."""

    value: str
    uncertain_bits: int


def quick64(grey: GreyImage) -> tuple[QuickHash, QuickHash]:
    """Return phash64 and dhash64; the rows, which cost the most, are resized for both at once."""
    across = _across(grey.width, grey.step)
    narrow = np.empty((grey.pixels.shape[0], across.shape[1]), np.float32)
    for top in range(0, len(narrow), _STRIP):
        strip = grey.pixels[top : top + _STRIP].astype(np.float32)
        np.matmul(strip, across, out=narrow[top : top + _STRIP])
    _clip(np.rint(narrow, out=narrow))
    square = _clip(_lanczos(grey.height, _SIDE, grey.step) @ narrow[:, :_SIDE])
    rows = _clip(_lanczos(grey.height, _BITS, grey.step) @ narrow[:, _SIDE:])
    return _phash(np.rint(square)), _dhash(rows)


def _phash(samples: Floats) -> QuickHash:
    """Return ``imagehash.phash``: frequencies of columns and rows, compared with their median."""
    cosine = _cosine()
    frequencies = cosine @ samples.astype(np.float64) @ cosine.T
    ordered = np.sort(frequencies, axis=None)
    middle = len(ordered) // 2
    above = frequencies - (ordered[middle - 1] + ordered[middle]) / 2
    return QuickHash(_hex(above > 0), int(np.count_nonzero(np.abs(above) <= _PHASH_NOISE)))


def _dhash(samples: Floats) -> QuickHash:
    """Return ``imagehash.dhash``: a bit for each sample brighter than its left neighbour."""
    least, most = np.rint(samples - _DHASH_NOISE), np.rint(samples + _DHASH_NOISE)
    certain = (least[:, 1:] > most[:, :-1]) | (most[:, 1:] <= least[:, :-1])
    rounded = np.rint(samples)
    return QuickHash(_hex(rounded[:, 1:] > rounded[:, :-1]), int(np.count_nonzero(~certain)))


def _clip(samples: Floats) -> Floats:
    np.maximum(samples, 0, out=samples)
    return np.minimum(samples, 255, out=samples)


@lru_cache(maxsize=8)
def _across(width: int, step: int) -> Floats:
    """Return both hashes' operators of a row, (width / step, 32 + 9).  Cached: do not modify."""
    both = _lanczos(width, _SIDE, step), _lanczos(width, _BITS + 1, step)
    return np.ascontiguousarray(np.concatenate(both).T)


@lru_cache(maxsize=16)
def _lanczos(length: int, samples: int, step: int) -> Floats:
    """Return Pillow's coefficients of one axis, (samples, length / step).  Cached: do not modify.

    The kernel is evaluated at the middle of the pixels that a sample represents: it is so much
    wider than they are that the sum over all of them would be the same.
    """
    scale = length / samples
    stretch = max(scale, 1.0)
    starts = np.arange(0, length, step)
    covered = np.minimum(step, length - starts)
    centres = (np.arange(samples)[:, None] + 0.5) * scale
    away = (starts + covered / 2 - centres) / stretch
    inside = np.abs(away) < _LOBES
    weights = np.zeros_like(away)
    weights[inside] = np.sinc(away[inside]) * np.sinc(away[inside] / _LOBES)
    weights *= covered
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)


@lru_cache(maxsize=1)
def _cosine() -> npt.NDArray[np.float64]:
    """Return the first rows of scipy's unnormalised cosine transform (type II)."""
    frequency, at = np.arange(_BITS)[:, None], np.arange(_SIDE)[None, :]
    return 2 * np.cos(np.pi * frequency * (2 * at + 1) / (2 * _SIDE))


def _hex(bits: npt.NDArray[np.bool_]) -> str:
    return np.packbits(bits).tobytes().hex()

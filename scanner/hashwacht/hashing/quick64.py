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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from hashwacht.core.hash64 import (
    DHASH,
    MIN_STEP,
    PHASH,
    combined_quality,
    phash_quality,
    quality_limit,
)
from hashwacht.core.types import QUICK_ERROR_BITS
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


Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class QuickHash:
    """16 hexadecimal digits, and how many of the 64 bits are uncertain.

    *quality* is None if that of the exact hash may limit the distance of a match otherwise.
    """

    value: str
    uncertain_bits: int
    quality: int | None = None


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
    dhash = _dhash(rows, min(grey.height, grey.width))
    return _phash(np.rint(square), dhash.quality), dhash


def _phash(samples: Floats, quality: int | None) -> QuickHash:
    """Return ``imagehash.phash``: frequencies of columns and rows, compared with their median.

    *quality* is that of the picture.
    """
    cosine = _cosine()
    frequencies = cosine @ samples.astype(np.float64) @ cosine.T
    ordered = np.sort(frequencies, axis=None)
    middle = len(ordered) // 2
    above = frequencies - (ordered[middle - 1] + ordered[middle]) / 2
    bits, uncertain = above > 0, np.flatnonzero(np.abs(above) <= _PHASH_NOISE).tolist()
    if quality is not None and len(uncertain) <= QUICK_ERROR_BITS[PHASH]:
        values = _possible_values(bits, uncertain)
        quality = _common([phash_quality(quality, value) for value in values])
    return QuickHash(_hex(bits), len(uncertain), quality)


def _dhash(samples: Floats, shorter_side: int) -> QuickHash:
    """Return ``imagehash.dhash``: a bit for each sample brighter than its left neighbour."""
    least, most = np.rint(samples - _DHASH_NOISE), np.rint(samples + _DHASH_NOISE)
    certain = (least[:, 1:] > most[:, :-1]) | (most[:, 1:] <= least[:, :-1])
    rounded = np.rint(samples)
    bits = rounded[:, 1:] > rounded[:, :-1]
    quality = None
    if np.count_nonzero(~certain) <= QUICK_ERROR_BITS[DHASH]:
        steps = (_count_steps(rounded), *_possible_steps(least, most))
        values = list(_possible_values(bits, np.flatnonzero(~certain).tolist()))
        quality = _common(
            [combined_quality(count, value, shorter_side) for count in steps for value in values]
        )
    return QuickHash(_hex(bits), int(np.count_nonzero(~certain)), quality)


def _common(qualities: Sequence[int]) -> int | None:
    """Return the first quality, None if not all of them limit the distance of a match equally."""
    limits = {quality_limit(quality) for quality in qualities}
    return qualities[0] if len(limits) == 1 else None


def _possible_values(bits: Bits, uncertain: Sequence[int]) -> Iterator[int]:
    """Yield the hash, then those with every combination of the *uncertain* bits."""
    flips = [1 << (bits.size - 1 - place) for place in uncertain]
    for count in range(len(flips) + 1):
        for chosen in combinations(flips, count):
            yield int(_hex(bits), 16) ^ sum(chosen)


def _possible_steps(least: Floats, most: Floats) -> tuple[int, int]:
    """Return how many steps there are at least and at most."""
    rise, fall = least[:, 1:] - most[:, :-1], least[:, :-1] - most[:, 1:]
    fewest = np.count_nonzero(np.maximum(rise, fall) >= MIN_STEP)
    return int(fewest), int(np.count_nonzero(np.minimum(rise, fall) <= -MIN_STEP))


def _count_steps(rounded: Floats) -> int:
    return int(np.count_nonzero(np.abs(np.diff(rounded, axis=1)) >= MIN_STEP))


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


def _hex(bits: Bits) -> str:
    return np.packbits(bits).tobytes().hex()

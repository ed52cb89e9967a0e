"""PDQ step by step, rounding exactly where Meta's C++ rounds.

:mod:`hashwacht.hashing.pdq` computes the same hash several times faster, but in another
order, so its frequencies differ from Meta's in the last digits; where that could change a bit,
this module computes the hash.  Meta's rounding is noticeable because a running sum in single
precision accumulates an error at every pixel.

Source: Meta, ThreatExchange, ``pdq/cpp/downscaling/downscaling.cpp``,
``pdq/cpp/hashing/pdqhashing.cpp`` and the PDQ paper (``hashing/hashing.pdf``); luma as in the
``pdqhash`` package (double precision, rounded once).  Identical on machines whose compiler keeps
the order of single-precision operations and fuses none of them (x86-64 as built for PyPI).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

SIDE = 64
"""The blurred picture is sampled at 64x64 points."""

_STRIP = 256
"""Lines processed together: two buffers of this many lines stay in the processor's cache."""

_MEDIAN = 127
"""Meta's median (Torben's) of an even number of values is the lower of the two in the middle."""


def margin(block: Floats) -> float:
    """Return the distance from the median to the next frequency: how certain the bits are."""
    middle = np.partition(block.ravel(), (_MEDIAN, _MEDIAN + 1))
    return float(middle[_MEDIAN + 1] - middle[_MEDIAN])


def near_median(block: Floats, distance: float) -> int:
    """Count the frequencies at most that far from the median, itself included."""
    flat = block.ravel()
    return int(np.count_nonzero(np.abs(flat - np.partition(flat, _MEDIAN)[_MEDIAN]) <= distance))


def to_hex(block: Floats) -> str:
    """Return a bit for each frequency above the median, that of the highest frequency first."""
    flat = block.ravel()
    bits = flat > np.partition(flat, _MEDIAN)[_MEDIAN]
    return np.packbits(bits[::-1]).tobytes().hex()


def window(length: int) -> int:
    """Return the width of one box filter along an axis: half a sample, rounded up."""
    return (length + 2 * SIDE - 1) // (2 * SIDE)


def samples(length: int) -> list[int]:
    """Return the 64 positions along an axis of *length* pixels at which the blur is read."""
    return [int(((i + 0.5) * length) / SIDE) for i in range(SIDE)]


def luma(pixels: Pixels) -> Floats:
    """Return the Rec. 601 luma of an (H, W, 3) RGB picture; an (H, W) grey one is its own luma."""
    if pixels.ndim == 2:  # noqa: PLR2004 - two axes: no colour
        return pixels.astype(np.float32)
    full = np.empty(pixels.shape[:2], np.float32)
    for top in range(0, len(full), _STRIP):
        strip = pixels[top : top + _STRIP]
        full[top : top + _STRIP] = (
            strip[:, :, 0] * 0.299 + strip[:, :, 1] * 0.587 + strip[:, :, 2] * 0.114
        )
    return full


def downsample(pixels: Pixels) -> Floats:
    """Return 64x64 samples of the picture blurred twice; a 64x64 picture is its own sample."""
    full = luma(pixels)
    if full.shape == (SIDE, SIDE):
        return full
    for _ in range(2):
        _blur_down(full.T)
        _blur_down(full)
    return full[np.ix_(samples(full.shape[0]), samples(full.shape[1]))]


def _blur_down(full: Floats) -> None:
    """Box-filter every column of *full* in place, a strip of columns at a time."""
    for left in range(0, full.shape[1], _STRIP):
        strip = full[:, left : left + _STRIP]
        strip[...] = _box(np.ascontiguousarray(strip), window(full.shape[0]))


def _box(lines: Floats, width: int) -> Floats:
    """Return the mean of *width* neighbours in each column, fewer at the ends, by running sums."""
    blurred = np.empty_like(lines)
    ahead = (width + 2) // 2 - 1
    total = np.zeros(lines.shape[1], np.float32)
    inside = 0
    for right in range(len(lines) + ahead):
        centre = right - ahead
        left = right - width
        if right < len(lines):
            total += lines[right]
            inside += 1
        if left >= 0:
            total -= lines[left]
            inside -= 1
        if centre >= 0:
            np.divide(total, np.float32(inside), out=blurred[centre])
    return blurred


def dct_matrix() -> Floats:
    """Return rows 1 to 16 of the orthonormal 64-point cosine transform, (16, 64)."""
    scale = float(np.float32(math.sqrt(2.0 / SIDE)))
    step, columns = math.pi / 2.0 / SIDE, range(SIDE)
    rows = [[scale * math.cos(step * (i + 1) * (2 * j + 1)) for j in columns] for i in range(16)]
    return np.array(rows, np.float32)


def dct(square: Floats) -> Floats:
    """Return the frequencies 1 to 16 of both axes, summed one product at a time."""
    matrix = dct_matrix()
    half = np.zeros((16, SIDE), np.float32)
    for k in range(SIDE):
        half += matrix[:, k, None] * square[None, k, :]
    block = np.zeros((16, 16), np.float32)
    for k in range(SIDE):
        block += half[:, k, None] * matrix[None, :, k]
    return block


def gradients(square: Floats) -> Floats:
    """Return differences of neighbours in per cent of full scale: 63x64 down, then 64x63 across."""
    down, across = square[:-1] - square[1:], square[:, :-1] - square[:, 1:]
    steps: Floats = np.abs(np.concatenate([down.ravel(), across.ravel()]))
    return steps * np.float32(100) / np.float32(255)


def quality(gradient_sum: int) -> int:
    """Return how much structure the samples have, 0..100; Meta's heuristic and constant."""
    return min(100, gradient_sum // 90)

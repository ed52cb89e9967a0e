"""PDQ, Meta's perceptual hash of pictures: 256 bits and a quality, from decoded pixels.

The specification blurs the luma of the whole picture with two passes of a box filter along
both axes, reads 64x64 samples, takes the frequencies 1 to 16 of both axes by a cosine
transform, and sets a bit for each of these 256 that lies above their median; quality is the
amount of gradient between the samples.

Nothing up to the median is more than a sum of weighted pixels, and the axes do not mix.  So
with *F* the matrix of one box filter along an axis and *s* the 64 positions that are read, all
blurring and sampling along that axis is the product with ``(F @ F)[s]``, and

    samples (64, 64)  =  down (64, H)  @  luma (H, W)  @  across (W, 64)

where each row of an operator is a tent about 1/64 of the axis wide.  The weights of red, green
and blue commute with it as well, and are applied last, to 64 rows in place of *H*.

That order rounds less than Meta's running sums do, so frequencies differ from theirs in the
last digits.  A hash is taken from them only if its bits and quality would survive a few times
that difference; otherwise :mod:`hashwacht.fingerprint.pdq_reference` repeats the calculation
with Meta's own rounding.  Hence no bit differs from ``pdqhash``, whichever way was taken.  Only
below quality 50, where hashes are recorded and never asked, is nothing repeated.

Other ways to the 64x64 samples (a decoder that scales) belong beside ``_downsample``.

Source: Meta, ThreatExchange, ``pdq/`` (paper ``hashing/hashing.pdf``; C++ as cited in the
reference); Jarosz, Fast Image Convolutions, SIGGRAPH 2001, for the repeated box filter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hashwacht.fingerprint import pdq_reference
from hashwacht.fingerprint.pdq_block import Floats, margin, orientations, to_hex
from hashwacht.fingerprint.pdq_reference import SIDE, Pixels, samples, window
from hashwacht.types import PDQ_MIN_QUALITY

MIN_SIDE = 5
"""Meta hashes nothing smaller: all bits zero, quality 0."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_NOISE = 2e-3
"""Twice the most by which Meta's rounding was seen to move a frequency, at any size of picture."""

_GRADIENT_NOISE = np.float32(8e-4)
"""The same for a gradient, in per cent of full scale."""

_LONGEST = 16_384
"""Operators of longer axes would take too much memory to keep; such pictures go Meta's way."""

_ROWS = 32
"""Rows of the picture made floating-point at a time, to stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Pdq:
    """64 hex digits by name of orientation (the empty name: as stored), and quality 0..100."""

    hashes: dict[str, str]
    quality: int


def pdq(pixels: Pixels, *, turned: bool = False) -> Pdq:
    """Hash (H, W, 3) RGB or (H, W) grey pixels; *turned* adds the seven other orientations."""
    if min(pixels.shape[:2]) < MIN_SIDE:
        names = orientations(np.zeros((16, 16), np.float32)) if turned else {"": None}
        return Pdq(dict.fromkeys(names, "0" * 64), 0)
    block, quality = _frequencies(pixels, turned=turned)
    wanted = orientations(block) if turned else {"": block}
    return Pdq({name: to_hex(each) for name, each in wanted.items()}, quality)


def _frequencies(pixels: Pixels, *, turned: bool) -> tuple[Floats, int]:
    """Calculate the 16x16 block and the quality the fast way if that is safe, else Meta's."""
    if max(pixels.shape[:2]) <= _LONGEST:
        square = _downsample(pixels)
        matrix = _dct_matrix()
        block = (matrix @ square @ matrix.T).astype(np.float32, copy=False)
        least, most = _quality_between(square)
        wanted = orientations(block).values() if turned else (block,)
        sure = least == most and all(margin(each) > 2 * _NOISE for each in wanted)
        if sure or most < PDQ_MIN_QUALITY:
            return block, least
    square = pdq_reference.downsample(pixels)
    gradient_sum = int(np.trunc(pdq_reference.gradients(square)).sum())
    return pdq_reference.dct(square), pdq_reference.quality(gradient_sum)


def _downsample(pixels: Pixels) -> Floats:
    """Multiply with both operators; the picture is converted a few rows at a time."""
    height, width = pixels.shape[:2]
    if (height, width) == (SIDE, SIDE):
        return pdq_reference.luma(pixels)
    down = _operator(height)
    narrow = np.zeros((SIDE, pixels[0].size), np.float32)
    for top in range(0, height, _ROWS):
        weights = down[:, top : top + _ROWS]
        reached = np.flatnonzero(weights.any(axis=1))
        if len(reached):
            touched = slice(reached[0], reached[-1] + 1)
            strip = pixels[top : top + _ROWS].reshape(weights.shape[1], -1).astype(np.float32)
            narrow[touched] += weights[touched] @ strip
    if pixels.ndim == 3:  # noqa: PLR2004 - three axes: colour
        narrow = narrow.reshape(SIDE, width, 3) @ _LUMA
    return narrow @ _operator(width).T


@lru_cache(maxsize=16)
def _operator(length: int) -> Floats:
    """(64, length): two box filters and the sampling of an axis as one matrix.  Do not write."""
    width = window(length)
    ahead = (width + 2) // 2 - 1
    middle = np.arange(length)
    first = np.maximum(middle + ahead - width + 1, 0)
    last = np.minimum(middle + ahead, length - 1)
    operator = np.zeros((SIDE, length))
    for row, centre in enumerate(samples(length)):
        for i in range(first[centre], last[centre] + 1):
            share = 1.0 / (last[centre] - first[centre] + 1) / (last[i] - first[i] + 1)
            operator[row, first[i] : last[i] + 1] += share
    return operator.astype(np.float32)


@lru_cache(maxsize=1)
def _dct_matrix() -> Floats:
    return pdq_reference.dct_matrix()


def _quality_between(square: Floats) -> tuple[int, int]:
    """Give the least and the greatest quality that Meta's rounding could make of these samples.

    Meta cuts every gradient to an integer, so one that is nearly whole may count one more or less.
    """
    steps = pdq_reference.gradients(square)
    least = int(np.trunc(np.maximum(steps - _GRADIENT_NOISE, 0)).sum())
    most = int(np.trunc(steps + _GRADIENT_NOISE).sum())
    return pdq_reference.quality(least), pdq_reference.quality(most)

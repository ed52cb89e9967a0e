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
that difference; otherwise :mod:`hashwacht.hashing.pdq_reference` repeats the calculation
with Meta's own rounding.  Hence no bit differs from ``pdqhash``, whichever way was taken.  Only
below quality 50, where hashes are recorded and never asked, is nothing repeated.

:func:`quick_pdq` takes grey as a JPEG stores it, decoded no larger than needed
(:mod:`hashwacht.hashing.grey`): several times faster again, and off by a few bits.

Source: Meta, ThreatExchange, ``pdq/`` (paper ``hashing/hashing.pdf``; C++ as cited in the
reference); Jarosz, Fast Image Convolutions, SIGGRAPH 2001, for the repeated box filter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hashwacht.core.types import PDQ_MIN_QUALITY
from hashwacht.hashing import pdq_reference
from hashwacht.hashing.grey import Floats, GreyImage, Pixels, sum_weights
from hashwacht.hashing.pdq_reference import (
    SIDE,
    margin,
    near_median,
    orientations,
    samples,
    to_hex,
    window,
)

MIN_SIDE = 5
"""Meta hashes nothing smaller: all bits zero, quality 0."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_NOISE = 2e-3
"""Twice the most by which Meta's rounding was seen to move a frequency, at any size of picture."""

_GRADIENT_NOISE = np.float32(8e-4)
"""The same for a gradient, in per cent of full scale."""

_QUICK_NOISE = 0.2
_MOST_NEAR = 8
"""Of 963 difficult JPEGs, half of them flat graphics, symmetric patterns and crops of them, none
with at most this many frequencies that near to the median had more than 6 bits off."""

_QUALITY_NOISE = 3
"""Twice nearly the most by which grey was seen to move the quality."""

_LONGEST = 16_384
"""Operators of longer axes would take too much memory to keep; such pictures go Meta's way."""

_STRIP = 1 << 16
_ROWS = 24
_STRIPS = 10
"""Samples and, at least, rows made floating-point at a time, to stay in the processor's cache; and
strips at least, for in each of them only the few samples are added to that it reaches."""


Axis = tuple[int, int]
"""Its length in the picture, and how many pixels of that stand for one."""


@dataclass(frozen=True, slots=True)
class PdqResult:
    """64 hex digits by name of orientation (the empty name: as stored), and quality 0..100."""

    hashes: dict[str, str]
    quality: int


def pdq(pixels: Pixels, *, all_orientations: bool = False) -> PdqResult:
    """Hash (H, W, 3) RGB or (H, W) grey pixels; *turned* adds the seven other orientations."""
    if min(pixels.shape[:2]) < MIN_SIDE:
        names = orientations(np.zeros((16, 16), np.float32)) if all_orientations else {"": None}
        return PdqResult(dict.fromkeys(names, "0" * 64), 0)
    block, quality = _frequencies(pixels, all_orientations=all_orientations)
    wanted = orientations(block) if all_orientations else {"": block}
    return PdqResult({name: to_hex(each) for name, each in wanted.items()}, quality)


def _frequencies(pixels: Pixels, *, all_orientations: bool) -> tuple[Floats, int]:
    """Calculate the 16x16 block and the quality the fast way if that is safe, else Meta's."""
    if max(pixels.shape[:2]) <= _LONGEST:
        square = _downsample(pixels)
        matrix = _dct_matrix()
        block = (matrix @ square @ matrix.T).astype(np.float32, copy=False)
        least, most = _quality_between(square)
        wanted = orientations(block).values() if all_orientations else (block,)
        sure = least == most and all(margin(each) > 2 * _NOISE for each in wanted)
        if sure or most < PDQ_MIN_QUALITY:
            return block, least
    square = pdq_reference.downsample(np.asarray(pixels))
    gradient_sum = int(np.trunc(pdq_reference.gradients(square)).sum())
    return pdq_reference.dct(square), pdq_reference.quality(gradient_sum)


def quick_pdq(grey: GreyImage, *, all_orientations: bool = False) -> PdqResult | None:
    """Hash a grey picture that may stand for a larger one; None where that would not be safe.

    Safe means: at most ``QUICK_ERROR_BITS`` bits off what :func:`pdq` gives for
    the picture in colour, and the same side of the least quality.  Grey as a JPEG stores it
    differs from that of the decoded colours where these were clipped or rounded, by more than
    any resolution does; so frequencies that close to the median are counted, and a picture with
    many of them (a symmetric one, an even texture) has to be decoded in colour.
    """
    if not SIDE < min(grey.height, grey.width) <= max(grey.height, grey.width) <= _LONGEST:
        return None
    square = _filtered(grey.pixels, (grey.height, grey.step), (grey.width, grey.step))
    matrix = _dct_matrix()
    block = (matrix @ square @ matrix.T).astype(np.float32, copy=False)
    quality = pdq_reference.quality(int(np.trunc(pdq_reference.gradients(square)).sum()))
    wanted = orientations(block) if all_orientations else {"": block}
    if quality >= PDQ_MIN_QUALITY - _QUALITY_NOISE and (
        quality < PDQ_MIN_QUALITY + _QUALITY_NOISE
        or any(near_median(each, _QUICK_NOISE) > _MOST_NEAR for each in wanted.values())
    ):
        return None
    return PdqResult({name: to_hex(each) for name, each in wanted.items()}, quality)


def _downsample(pixels: Pixels) -> Floats:
    """Blur and sample a picture of full size."""
    height, width = pixels.shape[:2]
    if (height, width) == (SIDE, SIDE):
        return pdq_reference.luma(np.asarray(pixels))
    return _filtered(pixels, (height, 1), (width, 1))


def _filtered(pixels: Pixels, down: Axis, across: Axis) -> Floats:
    """Multiply with the operators of both axes; the picture is converted a few rows at a time."""
    height, width = pixels.shape[:2]
    narrow = np.zeros((SIDE, math.prod(pixels.shape[1:])), np.float32)
    rows = max(_ROWS, min(_STRIP // narrow.shape[1], height // _STRIPS))
    for strip in _strips(*down, rows):
        part = pixels[strip.top : strip.top + rows].astype(np.float32)
        narrow[strip.reached] += strip.weights @ part.reshape(len(part), -1)
    if pixels.ndim == 3:  # noqa: PLR2004 - three axes: colour
        narrow = narrow.reshape(SIDE, width, 3) @ _LUMA
    return narrow @ _across(*across)


class _Strip(NamedTuple):
    """Some rows of a picture from *top*: which samples they are part of, with what weights."""

    top: int
    reached: slice
    weights: Floats


@lru_cache(maxsize=16)
def _strips(length: int, step: int, rows: int) -> Sequence[_Strip]:
    """Cut the operator of an axis into strips of so many rows of the reduced picture."""
    operator, strips = _operator(length, step), []
    for top in range(0, operator.shape[1], rows):
        part = operator[:, top : top + rows]
        some = np.flatnonzero(part.any(axis=1))
        if len(some):
            reached = slice(int(some[0]), int(some[-1]) + 1)
            strips.append(_Strip(top, reached, np.ascontiguousarray(part[reached])))
    return strips


@lru_cache(maxsize=16)
def _across(length: int, step: int) -> Floats:
    """Turn an operator, (length / step, 64), and lay it out so.  Do not write."""
    return np.ascontiguousarray(_operator(length, step).T)


def _operator(length: int, step: int = 1) -> Floats:
    """(64, length / step): two box filters and the sampling of an axis as one.

    The second filter at a sample is the mean of the first over a stretch of centres, and the
    first at each of these the mean of a stretch of pixels: a running sum of where these begin
    and end gives the weights.
    """
    width = window(length)
    ahead = (width + 2) // 2 - 1
    at = np.array(samples(length))
    first, last = _stretch(at, ahead, width, length)
    rows, offsets = np.nonzero(np.arange(width)[None, :] < (last - first + 1)[:, None])
    begins, ends = _stretch(first[rows] + offsets, ahead, width, length)
    shares = 1.0 / (last - first + 1)[rows] / (ends - begins + 1)
    steps = np.zeros((SIDE, length + 1))
    np.add.at(steps, (rows, begins), shares)
    np.add.at(steps, (rows, ends + 1), -shares)
    weights = np.cumsum(steps[:, :-1], axis=1, out=steps[:, :-1])
    return sum_weights(weights.astype(np.float32), step)


def _stretch(
    centres: npt.NDArray[np.int64], ahead: int, width: int, length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the first and the last pixel of the box filter around each centre."""
    return np.maximum(centres + ahead - width + 1, 0), np.minimum(centres + ahead, length - 1)


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

"""PDQ, Meta's perceptual hash of pictures: 256 bits and a quality, from decoded pixels.

The specification blurs the luma of the whole picture with two passes of a box filter along
both axes, reads 64x64 samples, computes the frequencies 1 to 16 of both axes by a cosine
transform, and sets a bit for each of these 256 that is above their median; quality is the
amount of gradient between the samples.

Every step before the median is a weighted sum of pixels, and the axes do not mix.  So with *F*
the matrix of one box filter along an axis and *s* the 64 positions that are read, all blurring
and sampling along that axis is the product with ``(F @ F)[s]``, and

    samples (64, 64)  =  down (64, H)  @  luma (H, W)  @  across (W, 64)

where each row of an operator is a tent about 1/64 of the axis wide.  The weights of red, green
and blue commute with it as well, and are applied last, to 64 rows instead of *H*.

This order rounds less than Meta's running sums do, so frequencies differ from theirs in the
last digits.  A hash is derived from them only if its bits and quality would be the same with a
few times that difference; otherwise :mod:`hashwacht.hashing.pdq_reference` repeats the calculation
with Meta's own rounding.  Hence no bit differs from ``pdqhash``, whichever way was used.  Only
below quality 50, where hashes are recorded but not matched, nothing is repeated.

:func:`quick_pdq` uses grey as a JPEG stores it, decoded no larger than needed
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

from hashwacht.core.types import MIN_QUALITY
from hashwacht.hashing import pdq_reference
from hashwacht.hashing.grey import Floats, GreyImage, Pixels, sum_weights
from hashwacht.hashing.pdq_reference import (
    SIDE,
    margin,
    near_median,
    samples,
    to_hex,
    window,
)

MIN_SIDE = 5
"""For anything smaller Meta returns all bits zero, quality 0."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_NOISE = 2e-3
"""Twice the largest change of a frequency by Meta's rounding that was seen, at any size."""

_GRADIENT_NOISE = np.float32(8e-4)
"""The same for a gradient, in per cent of full scale."""

_QUICK_NOISE = 0.2
_MAX_NEAR_MEDIAN = 8
"""Of 963 difficult JPEGs, half of them flat graphics, symmetric patterns and crops of them, none
with at most this many frequencies that close to the median had more than 6 bits off."""

_QUALITY_NOISE = 3
"""Nearly twice the largest difference that grey was seen to make to the quality."""

_MAX_SIDE = 16_384
"""Operators of longer axes would take too much memory; such pictures are hashed Meta's way, and
views of them after a reduction."""

_STRIP_SAMPLES, _MIN_STRIP_ROWS, _MIN_STRIPS = 1 << 16, 24, 10
"""Samples, and at least rows, converted to floating point at a time, to stay in the processor's
cache; and at least so many strips, because a strip is added only to the few samples it reaches."""

Axis = tuple[int, int]
"""The length in the picture, and how many of its pixels one sample represents."""


@dataclass(frozen=True, slots=True)
class PdqResult:
    """64 hex digits by name of orientation (the empty name: as stored), and quality 0..100."""

    hashes: dict[str, str]
    quality: int


def pdq(pixels: Pixels, *, all_orientations: bool = False) -> PdqResult:
    """Hash (H, W, 3) RGB or (H, W) grey pixels, in the stored orientation or in all eight."""
    if min(pixels.shape[:2]) < MIN_SIDE:
        blank = _Frequencies(np.zeros((SIDE, SIDE), np.float32), SIDE, SIDE)
        return PdqResult(dict.fromkeys(blank.blocks(all_orientations), "0" * 64), 0)
    frequencies, quality = _frequencies(pixels)
    return PdqResult(frequencies.hashes(all_orientations), quality)


@dataclass(frozen=True, slots=True)
class _Frequencies:
    """Samples of a picture of *height* x *width* pixels; *exact*: its frequencies as rounded."""

    square: Floats
    height: int
    width: int
    exact: Floats | None = None

    @property
    def stored(self) -> Floats:
        """The 16x16 frequencies of the picture as it is stored."""
        if self.exact is not None:
            return self.exact
        return self._block(_dct_matrix(), _dct_matrix())

    def blocks(self, all_orientations: bool) -> dict[str, Floats]:
        """Return the frequencies by orientation, as stored (``""``) first.

        ``rotateN`` is N degrees counter-clockwise (as Meta, numpy and Pillow turn), ``flip`` upside
        down, ``flop`` left to right, ``transpose`` and ``transverse`` along the two diagonals.
        """
        stored = self.stored
        if not all_orientations:
            return {"": stored}
        down, across, matrix = _reversed(self.height), _reversed(self.width), _dct_matrix()
        flip, flop = self._block(down, matrix), self._block(matrix, across)
        both = self._block(down, across)
        return {
            "": stored,
            "rotate90": flop.T,
            "rotate180": both,
            "rotate270": flip.T,
            "flip": flip,
            "flop": flop,
            "transpose": stored.T,
            "transverse": both.T,
        }

    def hashes(self, all_orientations: bool) -> dict[str, str]:
        """Return the hashes by orientation."""
        return {name: to_hex(block) for name, block in self.blocks(all_orientations).items()}

    def _block(self, down: Floats, across: Floats) -> Floats:
        return (down @ self.square @ across.T).astype(np.float32, copy=False)


def _frequencies(pixels: Pixels) -> tuple[_Frequencies, int]:
    """Return the frequencies and the quality, by the fast way if that is safe, else by Meta's."""
    height, width = pixels.shape[:2]
    if max(height, width) <= _MAX_SIDE:
        result = _Frequencies(_downsample(pixels), height, width)
        least, most = _quality_between(result.square)
        certain = least == most and margin(result.stored) > 2 * _NOISE
        if certain or most < MIN_QUALITY:
            return result, least
    square = pdq_reference.downsample(np.asarray(pixels))
    gradient_sum = int(np.trunc(pdq_reference.gradients(square)).sum())
    quality = pdq_reference.quality(gradient_sum)
    return _Frequencies(square, height, width, pdq_reference.dct(square)), quality


def quick_pdq(grey: GreyImage, *, all_orientations: bool = False) -> PdqResult | None:
    """Hash a grey picture that may represent a larger one; return None if that is not safe.

    Safe means: at most ``QUICK_ERROR_BITS`` bits off the result of :func:`pdq` for the picture in
    colour, and on the same side of the least quality.  Grey as a JPEG stores it differs from that
    of the decoded colours where these were clipped or rounded, by more than any resolution does.
    So frequencies close to the median are counted, and a picture with many of them (a symmetric
    one, an even texture) has to be decoded in colour.
    """
    if not SIDE < min(grey.height, grey.width) <= max(grey.height, grey.width) <= _MAX_SIDE:
        return None
    square = _filtered(grey.pixels, (grey.height, grey.step), (grey.width, grey.step))
    frequencies, quality = _grey_frequencies(grey, square)
    blocks = frequencies.blocks(all_orientations).values()
    if quality >= MIN_QUALITY - _QUALITY_NOISE and (
        quality < MIN_QUALITY + _QUALITY_NOISE
        or any(near_median(oriented, _QUICK_NOISE) > _MAX_NEAR_MEDIAN for oriented in blocks)
    ):
        return None
    return PdqResult(frequencies.hashes(all_orientations), quality)


def view_pdq(grey: GreyImage, *, all_orientations: bool = False) -> PdqResult:
    """Hash a part of a grey picture; a few bits off Meta's, which computes none of parts."""
    if min(grey.height, grey.width) < MIN_SIDE:
        return pdq(np.zeros((1, 1), np.uint8), all_orientations=all_orientations)
    grey = _bounded(grey)
    # Parts have any size: their operators would displace those of whole pictures in the caches.
    down, across = _operator(grey.height, grey.step), _operator(grey.width, grey.step)
    square = down @ np.asarray(grey.pixels).astype(np.float32) @ across.T
    frequencies, quality = _grey_frequencies(grey, square)
    return PdqResult(frequencies.hashes(all_orientations), quality)


def _bounded(grey: GreyImage) -> GreyImage:
    """Return a grey picture with no axis above _MAX_SIDE: of a longer one, the means of samples."""
    down, across = (-(-length // _MAX_SIDE) for length in (grey.height, grey.width))
    if down == across == 1:
        return grey
    from PIL import Image

    part = Image.fromarray(np.ascontiguousarray(grey.pixels)).reduce((across, down))
    return GreyImage(np.asarray(part), part.height * grey.step, part.width * grey.step, grey.step)


def _grey_frequencies(grey: GreyImage, square: Floats) -> tuple[_Frequencies, int]:
    quality = pdq_reference.quality(int(np.trunc(pdq_reference.gradients(square)).sum()))
    return _Frequencies(square, grey.height, grey.width), quality


def _downsample(pixels: Pixels) -> Floats:
    height, width = pixels.shape[:2]
    if (height, width) == (SIDE, SIDE):
        return pdq_reference.luma(np.asarray(pixels))
    return _filtered(pixels, (height, 1), (width, 1))


def _filtered(pixels: Pixels, down: Axis, across: Axis) -> Floats:
    """Apply the operators of both axes; the picture is converted a few rows at a time."""
    height, width = pixels.shape[:2]
    narrow = np.zeros((SIDE, math.prod(pixels.shape[1:])), np.float32)
    rows = max(_MIN_STRIP_ROWS, min(_STRIP_SAMPLES // narrow.shape[1], height // _MIN_STRIPS))
    for strip in _strips(*down, rows):
        part = pixels[strip.top : strip.top + rows].astype(np.float32)
        narrow[strip.reached] += strip.weights @ part.reshape(len(part), -1)
    if pixels.ndim == 3:  # noqa: PLR2004 - three axes: colour
        narrow = narrow.reshape(SIDE, width, 3) @ _LUMA
    return narrow @ _across(*across)


class _Strip(NamedTuple):
    """Some rows of a picture from *top*: the samples that they contribute to, and the weights."""

    top: int
    reached: slice
    weights: Floats


@lru_cache(maxsize=16)
def _strips(length: int, step: int, rows: int) -> Sequence[_Strip]:
    """Cut the operator of an axis into strips of *rows* rows of the reduced picture."""
    operator, strips = _operator(length, step), []
    for top in range(0, operator.shape[1], rows):
        part = operator[:, top : top + rows]
        nonzero = np.flatnonzero(part.any(axis=1))
        if len(nonzero):
            reached = slice(int(nonzero[0]), int(nonzero[-1]) + 1)
            strips.append(_Strip(top, reached, np.ascontiguousarray(part[reached])))
    return strips


@lru_cache(maxsize=16)
def _across(length: int, step: int) -> Floats:
    """Return the transposed operator (length / step, 64), contiguous.  Cached: do not modify it."""
    return np.ascontiguousarray(_operator(length, step).T)


def _operator(length: int, step: int = 1) -> Floats:
    """Return two box filters and the sampling of an axis as one matrix (64, length / step).

    The second filter at a sample is the mean of the first over a range of centres, and the first
    at each of these the mean of a range of pixels: a running sum over the begins and ends of
    these ranges yields the weights.
    """
    width = window(length)
    ahead = (width + 2) // 2 - 1
    at = np.array(samples(length))
    first, last = _box_range(at, ahead, width, length)
    rows, offsets = np.nonzero(np.arange(width)[None, :] < (last - first + 1)[:, None])
    begins, ends = _box_range(first[rows] + offsets, ahead, width, length)
    shares = 1.0 / (last - first + 1)[rows] / (ends - begins + 1)
    steps = np.zeros((SIDE, length + 1))
    np.add.at(steps, (rows, begins), shares)
    np.add.at(steps, (rows, ends + 1), -shares)
    weights = np.cumsum(steps[:, :-1], axis=1, out=steps[:, :-1])
    return sum_weights(weights.astype(np.float32), step)


def _box_range(
    centres: npt.NDArray[np.int64], ahead: int, width: int, length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return np.maximum(centres + ahead - width + 1, 0), np.minimum(centres + ahead, length - 1)


@lru_cache(maxsize=1)
def _dct_matrix() -> Floats:
    return pdq_reference.dct_matrix()


@lru_cache(maxsize=32)
def _reversed(length: int) -> Floats:
    """Return the cosine transform of an axis read backwards, (16, 64).

    Meta reads the pixel below the middle of each sample, so the samples of a reversed axis lie
    between those of the stored one, and are interpolated from them.  Reversing the signs of odd
    frequencies, as Meta does, takes them for equal: 37 bits off at 256 pixels, 12 at 1024;
    interpolated, 13 and 4 (means of 12 pictures rotated by 180 degrees).
    """
    position = np.array(samples(length), np.float64)  # the filters are centred on or beside it
    beside = 2 * ((window(length) + 2) // 2 - 1) - (window(length) - 1)
    place = np.interp(length - 1 - position - 2 * beside, position, np.arange(SIDE))
    before = np.floor(place).astype(np.int64)
    after = np.minimum(before + 1, SIDE - 1)
    share = (place - before).astype(np.float32)[:, None]
    read = np.eye(SIDE, dtype=np.float32)
    matrix: Floats = _dct_matrix() @ (read[before] * (1 - share) + read[after] * share)
    return matrix


def _quality_between(square: Floats) -> tuple[int, int]:
    """Return the least and the greatest quality that Meta's rounding could yield for these samples.

    Meta truncates every gradient: one that is nearly whole may count one more or less.
    """
    steps = pdq_reference.gradients(square)
    least = int(np.trunc(np.maximum(steps - _GRADIENT_NOISE, 0)).sum())
    most = int(np.trunc(steps + _GRADIENT_NOISE).sum())
    return pdq_reference.quality(least), pdq_reference.quality(most)

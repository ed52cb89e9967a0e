"""The parts of a picture that a person would call the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Increased when the same picture may have other regions than before."""

_EVEN = 6
"""Levels of 256 by which the samples of an even line may differ from their median."""

_EVEN_SHARE = 0.98
_MIN_SHARE = 0.2
_MIN_CUT = 0.01


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an array, ``array[top:bottom, left:right]``, and the kind of view that it is."""

    name: str
    top: int
    left: int
    bottom: int
    right: int


def regions(grey: NDArray[np.uint8]) -> Sequence[Region]:
    """Return the parts to hash, the surest first, none of them the whole array."""
    top, bottom = _inner(grey)
    left, right = _inner(grey[top:bottom].T)
    height, width = grey.shape
    if min((bottom - top) / height, (right - left) / width) < _MIN_SHARE:
        return []
    if max(1 - (bottom - top) / height, 1 - (right - left) / width) < _MIN_CUT:
        return []
    return [Region("trim", top, left, bottom, right)]


def _inner(lines: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the first line that is not even and the end of the last one."""
    middle = np.median(lines, axis=1, keepdims=True)
    even = (np.abs(lines - middle) <= _EVEN).mean(axis=1) >= _EVEN_SHARE
    uneven = np.flatnonzero(~even)
    return (int(uneven[0]), int(uneven[-1]) + 1) if len(uneven) else (0, len(lines))

"""How well the 64-bit hashes of a picture distinguish it from others: their quality.

dhash64 compares each of 8x9 samples with its neighbour.  Where both are the same grey, as in flags,
icons, plots and scanned text, the bit says nothing; and where rows repeat, or one half mirrors the
other, most bits follow from the rest.  Such pictures share their hashes with many unrelated ones,
at distance 0 too, and phash64 depends on the same areas.  So the quality of both hashes is derived
from these samples, and that of phash64 also from its own pattern: of a picture with a spot in the
middle, or with few shapes, every row of bits is another one moved or inverted.

Below :data:`hashwacht.core.types.MIN_QUALITY` only equal values match, from
:data:`FULL_RADIUS_QUALITY` on a hash is looked up with the radius of a list, and between with at
most :data:`REDUCED_RADIUS` bits.

The thresholds are measured (docs/recall.md): they leave no false match between flags or gradients,
one in forty million pairs of pictures, and photographs cropped at all sides or with a bar of text
over them are found as often as without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from hashwacht.core.types import EQUAL_BELOW_MIN_QUALITY, MIN_QUALITY, Signal

DHASH, PHASH, PDQ = "dhash64", "phash64", "pdq"

FULL_RADIUS_QUALITY: Final = 58
REDUCED_RADIUS: Final = 3
"""Bits up to which a hash of a quality just sufficient matches."""

MIN_SIDE: Final = 48
"""Pixels of the shorter side: smaller icons of the same motif have nearly equal hashes."""

MIN_STEP: Final = 2
"""Levels of grey, of 256, by which two samples must differ to mean anything."""

_MIN_STEPS: Final = 32
"""How many of the 64 pairs of neighbours must differ."""

_MIN_LISTED_DHASH: Final = 30
_MIN_LISTED_PHASH: Final = 25
"""The quality of the pattern of a value below which equal ones are no evidence."""

_BITS: Final = 64
_ALL: Final = (1 << _BITS) - 1
_MIN_ONES: Final = 13
_MIN_ONES_OF_HALF: Final = 8
_MAX_OFF_PRODUCT: Final = 4
_MIN_SHARE_MOVED: Final = 5
"""The pattern of a phash64, moved, differs from itself in at least a fifth of the bits."""

_MAX_OFF_PDQ_PRODUCT: Final = 24
_PDQ_ROWS: Final = sum(1 << shift for shift in range(0, 256, 16))
_REFERENCE_ROWS: Final = (0, 3, 5)
_STEPS: Final = (*((0, 1), (0, 2)), *((down, right) for down in (1, 2) for right in range(-2, 3)))
"""Rows and columns by which the pattern of a phash64 is moved."""

_FOLDED: Final = bytes(min(byte.bit_count(), 8 - byte.bit_count()) for byte in range(256))
"""The distance of a byte to 0 or 255, whichever is nearer."""


def picture_quality(samples: Sequence[Sequence[int]], value: int, shorter_side: int) -> int:
    """Return the quality of dhash64, 0 to 100; that of phash64 is at most the same.

    *samples* are the 8 rows of 9 levels that dhash64 compares, *value* is that hash,
    *shorter_side* that of the picture in pixels.
    """
    steps = sum(abs(right - left) >= MIN_STEP for row in samples for left, right in pairwise(row))
    return combined_quality(steps, value, shorter_side)


def combined_quality(steps: int, value: int, shorter_side: int) -> int:
    """Return the quality by the *steps* between samples, the pattern of dhash64, and the size."""
    of_steps = MIN_QUALITY * steps // _MIN_STEPS
    of_size = MIN_QUALITY * shorter_side // MIN_SIDE
    return min(100, of_steps, of_size, pattern_quality(value))


def phash_quality(quality: int, value: int) -> int:
    """Return the quality of a phash64 of a picture of this *quality*, 0 to 100.

    The sign of each of the 8x8 frequencies is compared with that of those beside it.
    """
    moved = (
        MIN_QUALITY * _MIN_SHARE_MOVED * min(off, overlap - off) // overlap
        for shift, mask, overlap in _MOVES
        for off in (((value ^ value >> shift) & mask).bit_count(),)
    )
    return min(quality, *moved)


def distance_limit(signal: Signal) -> int | None:
    """Return up to how many bits a signal may match whatever the radius of a list; None: any."""
    if not signal.reliable:
        return 0
    if signal.type in EQUAL_BELOW_MIN_QUALITY and signal.quality is not None:
        return quality_limit(signal.quality)
    return None


def quality_limit(quality: int) -> int | None:
    """Return up to how many bits a 64-bit hash of this quality may match; None: any."""
    if quality < MIN_QUALITY:
        return 0
    return None if quality >= FULL_RADIUS_QUALITY else REDUCED_RADIUS


def pattern_quality(value: int) -> int:
    """Return how irregular a dhash64 is, 0 to 100.

    The value is an 8x8 pattern.  Its distance to itself moved by one or two rows or columns is
    small if it repeats, that to its reflections and its half turn if it is symmetric.  (A bit of a
    mirrored picture is inverted, so there the distance to the inverse counts as well.)
    """
    flipped = int.from_bytes(value.to_bytes(8, "big"), "little")
    flopped = _mirror_rows(value)
    turned = _mirror_rows(flipped)
    parts = (
        (min(value.bit_count(), _BITS - value.bit_count()), _MIN_ONES),
        (((value ^ value >> 8) & _ALL >> 8).bit_count(), 4),
        (((value ^ value >> 16) & _ALL >> 16).bit_count(), 3),
        (((value ^ value >> 1) & 0x7F7F7F7F7F7F7F7F).bit_count(), 4),
        (((value ^ value >> 2) & 0x3F3F3F3F3F3F3F3F).bit_count(), 3),
        ((value ^ flipped).bit_count(), 6),
        (_nearer(value ^ flopped), 10),
        (_nearer(value ^ turned), 14),
    )
    return min(100, *(MIN_QUALITY * distance // needed for distance, needed in parts))


def is_regular(signal_type: str, value: bytes) -> bool:
    """Return whether a picture hash is that of a striped or symmetric picture, by its value alone.

    A list has no more than the value.  Equal values of such hashes are no evidence.
    """
    if signal_type == PDQ:
        return _is_pdq_product(int.from_bytes(value, "big"))
    number = int.from_bytes(value, "big")
    if signal_type == DHASH:
        return pattern_quality(number) < _MIN_LISTED_DHASH
    return signal_type == PHASH and (
        _is_symmetric(value) or _is_product(value) or phash_quality(100, number) < _MIN_LISTED_PHASH
    )


def _is_symmetric(value: bytes) -> bool:
    """Return whether every second row or column of a phash64 has nearly only equal bits.

    Half of the frequencies of a symmetric picture are zero, all on the same side of the median.
    """
    number = int.from_bytes(value, "big")
    return any(
        not _MIN_ONES_OF_HALF <= (number & half).bit_count() <= _BITS // 2 - _MIN_ONES_OF_HALF
        for mask in (0x5555555555555555, 0x00FF00FF00FF00FF, 0x55AA55AA55AA55AA)
        for half in (mask, _ALL ^ mask)
    )


def _is_product(rows: bytes) -> bool:
    """Return whether nearly every row of a phash64 is another one or its inverse.

    This is the hash of a picture with one spot, or of a pattern that depends on one axis only.
    """
    return any(
        sum(_FOLDED[row ^ rows[index]] for row in rows) <= _MAX_OFF_PRODUCT
        for index in _REFERENCE_ROWS
    )


def _is_pdq_product(value: int) -> bool:
    """Return whether nearly every one of 16 rows of a PDQ hash is another one or its inverse.

    No photograph was seen with fewer than 46 bits off.
    """
    for index in _REFERENCE_ROWS:
        rest = value ^ (value >> 16 * index & 0xFFFF) * _PDQ_ROWS
        changes = ((rest ^ rest >> 1) & 0x7FFF * _PDQ_ROWS).bit_count()
        if changes <= 2 * _MAX_OFF_PDQ_PRODUCT:  # a bit that is off makes two changes at most
            ones = [(rest >> shift & 0xFFFF).bit_count() for shift in range(0, 256, 16)]
            if sum(min(count, 16 - count) for count in ones) <= _MAX_OFF_PDQ_PRODUCT:
                return True
    return False


def _nearer(difference: int) -> int:
    return min(difference.bit_count(), _BITS - difference.bit_count())


def _mirror_rows(value: int) -> int:
    """Return the pattern with each row of 8 bits reversed."""
    value = (value >> 1 & 0x5555555555555555) | (value & 0x5555555555555555) << 1
    value = (value >> 2 & 0x3333333333333333) | (value & 0x3333333333333333) << 2
    return (value >> 4 & 0x0F0F0F0F0F0F0F0F) | (value & 0x0F0F0F0F0F0F0F0F) << 4


def _moves() -> Iterator[tuple[int, int, int]]:
    """Yield the moves of an 8x8 pattern by up to two rows and columns.

    By how many bits its value is shifted, the mask of what overlaps, and how many bits that are.
    """
    for down, right in _STEPS:
        columns = sum(0x80 >> column for column in range(max(right, 0), 8 + min(right, 0)))
        mask = sum(columns << 8 * row for row in range(8 - down))
        yield 8 * down + right, mask, mask.bit_count()


_MOVES: Final = tuple(_moves())

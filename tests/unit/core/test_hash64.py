"""The quality of 64-bit hashes: pictures and values that many unrelated pictures share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import imagehash
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from demo.pictures import photo
from hashwacht.core.hash64 import (
    FULL_RADIUS_QUALITY,
    MIN_SIDE,
    REDUCED_RADIUS,
    distance_limit,
    is_regular,
    pattern_quality,
    phash_quality,
)
from hashwacht.core.types import MIN_QUALITY, Signal
from hashwacht.hashing.pdq import pdq
from hashwacht.hashing.phash import phash
from hashwacht.hashing.picture import Picture

Levels = npt.NDArray[np.uint8]
AXIS = np.linspace(0, 255, 240)
SHAPES: dict[str, Levels] = {
    "flat": np.full((240, 240), 90, np.uint8),
    "gradient to the right": np.tile(AXIS, (240, 1)).astype(np.uint8),
    "gradient to the bottom": np.tile(AXIS[:, None], (1, 240)).astype(np.uint8),
    "gradient to the corner": np.add.outer(AXIS / 2, AXIS / 2).astype(np.uint8),
    "gradient from the centre": np.hypot.outer(AXIS - 127, AXIS - 127).astype(np.uint8),
    "tricolour": np.repeat(np.array([[20, 250, 120]], np.uint8), 80, 1).repeat(240, 0),
    "stripes": np.tile(np.array([30, 200], np.uint8).repeat(30)[:, None], (4, 240)),
    "cross": np.maximum.outer(abs(AXIS - 127) < 20, abs(AXIS - 127) < 20) * np.uint8(200),
    "disc": (np.hypot.outer(AXIS - 127, AXIS - 127) < 70) * np.uint8(200),
    "chessboard": np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((30, 30))).astype(np.uint8) * 255,
}


def _picture(levels: Levels) -> Picture:
    return Picture(lambda: Image.fromarray(levels))


@pytest.mark.parametrize("name", SHAPES)
def test_flags_gradients_and_patterns_are_poor(name: str) -> None:
    assert _picture(SHAPES[name]).quality64 < MIN_QUALITY


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("change", [lambda image: image, lambda image: image.resize((64, 48))])
def test_photographs_are_good(seed: int, change: Callable[[Image.Image], Image.Image]) -> None:
    assert Picture(lambda: change(photo(seed))).quality64 >= MIN_QUALITY


def test_mirrored_halves_and_repeated_quarters_are_poor() -> None:
    half = np.asarray(photo(3, (120, 240)).convert("L"))
    assert _picture(np.hstack([half, half[:, ::-1]])).quality64 < MIN_QUALITY
    assert _picture(np.vstack([half, half[::-1]])).quality64 < MIN_QUALITY
    assert _picture(np.tile(half[:60, :60], (4, 4))).quality64 < MIN_QUALITY


def test_pictures_smaller_than_an_icon_are_poor() -> None:
    assert Picture(lambda: photo(1).resize((64, MIN_SIDE - 1))).quality64 < MIN_QUALITY
    assert Picture(lambda: photo(1).resize((64, MIN_SIDE))).quality64 >= MIN_QUALITY


@pytest.mark.parametrize("value", ["cc993366cc9931e6", "993366cc993366cc", "c4c43b916ec47bd1"])
def test_phash64_whose_rows_recur_moved_or_inverted_is_poor(value: str) -> None:
    """Unrelated pictures, a telephone, a galaxy and an icon, share them within 4 bits."""
    assert phash_quality(100, int(value, 16)) < MIN_QUALITY


@pytest.mark.parametrize("seed", range(8))
def test_phash64_of_photographs_is_good(seed: int) -> None:
    value = int(phash(photo(seed).convert("L")), 16)
    assert MIN_QUALITY <= phash_quality(100, value) <= 100
    assert phash_quality(30, value) == 30


@given(row=st.integers(0, 255), places=st.integers(-2, 2))
def test_phash64_of_one_row_moved_has_no_quality(row: int, places: int) -> None:
    """A row is continued as it is moved: it repeats after eight columns."""
    rows = ((row * 0x0101 >> places * index % 8) & 0xFF for index in range(8))
    assert phash_quality(100, int.from_bytes(bytes(rows), "big")) == 0


@pytest.mark.parametrize(
    ("kind", "quality", "limit"),
    [
        *[("dhash64", 49, 0), ("phash64", 50, REDUCED_RADIUS)],
        *[("dhash64", FULL_RADIUS_QUALITY - 1, REDUCED_RADIUS)],
        *[("phash64", FULL_RADIUS_QUALITY, None), ("dhash64", None, None)],
        *[("pdq", 49, 0), ("pdq", 50, None), ("md5", None, None)],
    ],
)
def test_quality_limits_the_distance(kind: str, quality: int | None, limit: int | None) -> None:
    assert distance_limit(Signal(kind, "00", quality)) == limit


def _symmetries(value: int) -> Iterator[int]:
    """Yield the pattern's reflections and half turn."""
    bits = np.unpackbits(np.frombuffer(value.to_bytes(8, "big"), np.uint8)).reshape(8, 8)
    for pattern in (bits[::-1], 1 - bits[:, ::-1], 1 - bits[::-1, ::-1]):
        yield int.from_bytes(np.packbits(pattern).tobytes(), "big")


@given(value=st.integers(0, 2**64 - 1))
def test_a_reflected_hash_has_the_same_quality(value: int) -> None:
    for other in _symmetries(value):
        assert pattern_quality(other) == pattern_quality(value)


@given(rows=st.lists(st.integers(0, 255), min_size=4, max_size=4))
def test_a_value_equal_to_its_reflection_has_no_quality(rows: list[int]) -> None:
    value = int.from_bytes(bytes(rows + rows[::-1]), "big")
    assert pattern_quality(value) == 0
    assert is_regular("dhash64", value.to_bytes(8, "big"))


@pytest.mark.parametrize("name", sorted(SHAPES.keys() - {"gradient to the corner"}))
def test_hashes_of_regular_pictures_are_recognised_by_value(name: str) -> None:
    grey = Image.fromarray(SHAPES[name])
    assert is_regular("dhash64", bytes.fromhex(str(imagehash.dhash(grey))))


@pytest.mark.parametrize("name", ["tricolour", "stripes", "cross", "chessboard"])
def test_phash64_of_regular_pictures_is_recognised(name: str) -> None:
    assert is_regular("phash64", bytes.fromhex(phash(Image.fromarray(SHAPES[name]))))


@pytest.mark.parametrize("seed", range(8))
def test_hashes_of_photographs_are_not_regular(seed: int) -> None:
    grey = photo(seed).convert("L")
    assert not is_regular("dhash64", bytes.fromhex(str(imagehash.dhash(grey))))
    assert not is_regular("phash64", bytes.fromhex(phash(grey)))


@pytest.mark.parametrize("name", ["cross", "chessboard"])
def test_pdq_of_patterns_is_recognised(name: str) -> None:
    assert is_regular("pdq", bytes.fromhex(pdq(SHAPES[name]).hashes[""]))


@pytest.mark.parametrize("seed", range(8))
def test_pdq_of_photographs_is_not_regular(seed: int) -> None:
    assert not is_regular("pdq", bytes.fromhex(pdq(np.asarray(photo(seed))).hashes[""]))


@given(row=st.integers(0, 2**16 - 1), inverted=st.integers(0, 2**16 - 1), off=st.integers(0, 255))
def test_pdq_of_equal_and_inverse_rows_is_regular(row: int, inverted: int, off: int) -> None:
    rows = (row ^ 0xFFFF * (inverted >> index & 1) for index in range(16))
    value = sum(content << 16 * index for index, content in enumerate(rows)) ^ 1 << off
    assert is_regular("pdq", value.to_bytes(32, "big"))


def test_digests_have_no_regular_values() -> None:
    assert not is_regular("md5", bytes(16))

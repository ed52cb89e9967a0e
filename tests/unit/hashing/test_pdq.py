from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pdqhash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from demo.pictures import flat, grainy, photo, resized
from hashwacht.core.types import MIN_QUALITY
from hashwacht.hashing import pdq_reference
from hashwacht.hashing.grey import GreyImage
from hashwacht.hashing.pdq import pdq, view_pdq
from hashwacht.hashing.pdq_reference import to_hex

Pixels = npt.NDArray[np.uint8]

TURNS = {
    "rotate90": Image.Transpose.ROTATE_90,
    "rotate180": Image.Transpose.ROTATE_180,
    "rotate270": Image.Transpose.ROTATE_270,
    "flip": Image.Transpose.FLIP_TOP_BOTTOM,
    "flop": Image.Transpose.FLIP_LEFT_RIGHT,
    "transpose": Image.Transpose.TRANSPOSE,
    "transverse": Image.Transpose.TRANSVERSE,
}


def as_hex(vector: npt.NDArray[np.uint8]) -> str:
    return np.packbits(vector.astype(np.uint8)).tobytes().hex()


def meta(pixels: Pixels) -> tuple[str, int]:
    vector, quality = pdqhash.compute(pixels)
    return as_hex(vector), quality


def painted(seed: int, width: int, height: int) -> Pixels:
    """Generate photos, some noisy, some black and white: whole gradients are close calls."""
    chance = np.random.default_rng(seed)
    pixels = np.asarray(photo(seed, (width, height)))
    style = seed % 4
    if style == 0:
        noise = chance.normal(0, 20, pixels.shape)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    elif style == 1:
        pixels = ((pixels > 128) * np.uint8(255)).astype(np.uint8)
    return pixels


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    width=st.integers(1, 400),
    height=st.integers(1, 400),
)
def test_equals_metas_own_hasher_bit_by_bit_at_any_size(seed: int, width: int, height: int) -> None:
    pixels = painted(seed, width, height)
    value, quality = meta(pixels)
    result = pdq(pixels)
    if quality >= MIN_QUALITY:
        assert (result.hashes[""], result.quality) == (value, quality)
    else:
        assert result.quality < MIN_QUALITY


@pytest.mark.parametrize(
    ("width", "height"),
    [
        *[(64, 64), (128, 128), (129, 127), (64, 65), (65, 64), (5, 5), (5, 2000), (2000, 5)],
        *[(1280, 720), (720, 1280), (1999, 1001), (16_500, 40)],
    ],
)
def test_equals_metas_own_hasher_at_sizes_where_windows_change(width: int, height: int) -> None:
    pixels = np.asarray(photo(width, (width, height)))
    value, quality = meta(pixels)
    result = pdq(pixels)
    assert quality >= MIN_QUALITY
    assert (result.hashes[""], result.quality) == (value, quality)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(5, 300), height=st.integers(5, 300))
def test_the_reference_rounds_exactly_as_metas_own_hasher(
    seed: int, width: int, height: int
) -> None:
    """Not only the bits but the frequencies are equal, so it can decide every close call."""
    pixels = painted(seed, width, height)
    reference = pdqhash.compute_float(pixels)[0][::-1].reshape(16, 16)
    array = pdq_reference.dct(pdq_reference.downsample(pixels))
    assert np.array_equal(array, reference)


def test_close_calls_are_decided_by_the_reference() -> None:
    """Mirrored halves make many frequencies zero, so that rounding alone orders them."""
    half = np.asarray(photo(1, (200, 300)))
    pixels = np.concatenate([half, half[:, ::-1]], axis=1)
    assert (pdq(pixels).hashes[""], pdq(pixels).quality) == meta(pixels)


def test_grey_pixels_hash_like_the_same_grey_in_colour() -> None:
    grey = np.asarray(photo(3, (500, 333)).convert("L"))
    assert pdq(grey) == pdq(np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (4, 300), (300, 4)])
def test_what_is_too_small_has_a_hash_of_zeros_and_quality_0(size: tuple[int, int]) -> None:
    pixels = np.asarray(photo(1, size))
    assert (pdq(pixels).hashes[""], pdq(pixels).quality) == ("0" * 64, 0) == meta(pixels)
    assert len(pdq(pixels, all_orientations=True).hashes) == 8


def test_a_flat_picture_has_too_little_quality_to_be_asked() -> None:
    assert pdq(np.asarray(flat())).quality == 0


def test_a_smaller_copy_is_near_and_another_picture_is_far() -> None:
    original = photo(5)
    original_hash, copy, other_hash = (
        int(pdq(np.asarray(image)).hashes[""], 16)
        for image in (original, resized(original, 0.5), photo(6))
    )
    assert (original_hash ^ copy).bit_count() <= 31
    assert (original_hash ^ other_hash).bit_count() >= 90


@pytest.mark.parametrize("size", [(96, 72), (200, 150), (320, 240), (640, 512), (1024, 700)])
@pytest.mark.parametrize("name", TURNS)
def test_each_turned_hash_is_that_of_the_picture_turned_that_way(
    name: str, size: tuple[int, int]
) -> None:
    """Sampling is not symmetric to the pixel, so some bits differ, but none that hides a match."""
    picture = grainy(photo(11, size), 20)
    turned = np.asarray(picture.transpose(TURNS[name]))
    hashes = pdq(np.asarray(picture), all_orientations=True).hashes
    truth = int(pdq(turned).hashes[""], 16)
    distances = {name: (int(value, 16) ^ truth).bit_count() for name, value in hashes.items()}
    assert min(distances, key=lambda each: distances[each]) == name
    assert distances[name] <= 20


def test_half_of_the_bits_are_set() -> None:
    block = np.random.default_rng(2).normal(size=(16, 16)).astype(np.float32)
    assert int(to_hex(block), 16).bit_count() == 128


@pytest.mark.parametrize("size", [(40_000, 70), (70, 40_000)])
def test_a_long_narrow_view_is_hashed_in_little_memory(size: tuple[int, int]) -> None:
    """Reduced first, its hash is that of all samples, within a few bits."""
    pixels = np.asarray(photo(5).resize(size).convert("L"))
    tracemalloc.start()
    result = view_pdq(GreyImage(pixels, *pixels.shape), all_orientations=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 << 20
    expected = pdq(pixels).hashes[""]
    assert (int(result.hashes[""], 16) ^ int(expected, 16)).bit_count() <= 10

"""The picture inside a border, below a text bar, or in a screenshot."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from demo.pictures import grainy, photo
from hashwacht.hashing.grey import Array
from hashwacht.hashing.pdq import pdq
from hashwacht.hashing.views.regions import MAX_REGIONS, regions
from support.pictures.framed import FRAMES

RADIUS = 24
SEEDS = range(4)


@lru_cache
def picture_of(seed: int) -> Image.Image:
    return grainy(photo(seed, (640, 480) if seed % 2 else (480, 600)))


@lru_cache
def hash_of(seed: int) -> int:
    return int(pdq(np.asarray(picture_of(seed).convert("L"))).hashes[""], 16)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def grey(image: Image.Image) -> Array:
    """Return the samples that a picture is searched in: the short side has 512 or more."""
    step = max(1, min(image.size) // 512)
    return np.asarray(image.convert("L").reduce(step))


def nearest(framed: Image.Image, wanted: int) -> int:
    """Return the distance of the region that is nearest to a hash."""
    samples = grey(framed)
    hashes = [
        pdq(samples[box.top : box.bottom, box.left : box.right]).hashes[""]
        for box in regions(samples)
    ]
    return min(((int(value, 16) ^ wanted).bit_count() for value in hashes), default=256)


@pytest.mark.parametrize("frame", FRAMES)
def test_the_picture_inside_is_found(frame: str) -> None:
    distances = []
    for seed in SEEDS:
        framed = FRAMES[frame](picture_of(seed), np.random.default_rng(seed))
        distances.append(nearest(jpeg(framed, 60 + 10 * seed), hash_of(seed)))
    assert max(distances) <= RADIUS, distances


def test_a_whole_picture_has_no_region() -> None:
    random = np.random.default_rng(0)
    for seed in SEEDS:
        texture = random.integers(-12, 13, (480, 640))
        scene = np.asarray(photo(seed).convert("L")) // 2 + 60
        assert regions((scene + texture).astype(np.uint8)) == ()


@settings(max_examples=60, deadline=None)
@given(
    samples=arrays(np.uint8, st.tuples(st.integers(1, 150), st.integers(1, 150))),
    flat=st.integers(0, 100),
)
def test_regions_are_distinct_parts(samples: Array, flat: int) -> None:
    samples[:flat], samples[:, :flat] = flat, 255 - flat
    results = regions(samples)
    assert results == regions(samples.copy())
    assert len(results) == len(set(results)) <= MAX_REGIONS
    height, width = samples.shape
    for box in results:
        assert 0 <= box.top < box.bottom <= height
        assert 0 <= box.left < box.right <= width
        assert (box.bottom - box.top, box.right - box.left) != (height, width)

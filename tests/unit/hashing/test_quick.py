"""Quick hashes: their error bounds, when they are used, and when exact ones are."""

from __future__ import annotations

import io
from collections.abc import Callable

import imagehash
import numpy as np
import pdqhash
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from demo.pictures import encode, flat, grainy, photo, truncated
from hashwacht.core.hash64 import distance_limit
from hashwacht.core.types import MIN_QUALITY, QUICK_ERROR_BITS, Fingerprint
from hashwacht.core.views import ViewKind
from hashwacht.hashing import Plan, pdq_reference
from hashwacht.hashing.decode import may_reduce, reduced
from hashwacht.hashing.grey import GreyImage, PixelRows, sum_weights
from hashwacht.hashing.pdq import _operator, quick_pdq
from hashwacht.hashing.quick64 import quick64

Hash = Callable[..., Fingerprint]

TYPES = ("pdq", "phash64", "dhash64")
QUICK = Plan(TYPES, quick=True)


def drawn(seed: int, width: int, height: int, quality: int) -> bytes:
    image = photo(seed, (width, height))
    return encode(grainy(image, 8, seed) if seed % 3 == 0 else image, "jpeg", quality=quality)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    width=st.integers(129, 1400),
    height=st.integers(129, 1400),
    quality=st.integers(20, 95),
)
@example(seed=1055, width=129, height=537, quality=20)  # three bits of dhash64, all in doubt
def test_quick_hashes_are_off_by_no_more_than_they_say(
    seed: int, width: int, height: int, quality: int
) -> None:
    content = drawn(seed, width, height, quality)
    with Image.open(io.BytesIO(content)) as full:
        vector, expected = pdqhash.compute(np.asarray(full))
        truth = int(np.packbits(vector.astype(np.uint8)).tobytes().hex(), 16)
        small = int(str(imagehash.phash(full)), 16), int(str(imagehash.dhash(full)), 16)
    grey = reduced(JpegImageFile(io.BytesIO(content)))
    assert grey is not None
    result = quick_pdq(grey)
    if result is not None:
        assert (result.quality >= MIN_QUALITY) == (expected >= MIN_QUALITY)
        if expected >= MIN_QUALITY:
            assert (int(result.hashes[""], 16) ^ truth).bit_count() <= QUICK_ERROR_BITS["pdq"]
    for name, value, quick in zip(("phash64", "dhash64"), small, quick64(grey), strict=True):
        if quick.uncertain_bits <= QUICK_ERROR_BITS[name]:
            assert (int(quick.value, 16) ^ value).bit_count() <= QUICK_ERROR_BITS[name]


@settings(max_examples=30, deadline=None)
@given(length=st.integers(5, 3000), step=st.sampled_from([2, 4, 8]))
def test_an_operator_equals_blur_and_sampling_of_the_standard(length: int, step: int) -> None:
    """That holds for an axis of any length; evenly divided pictures give the same samples."""
    line = np.random.default_rng(length).uniform(0, 255, (length, 1)).astype(np.float32)
    blurred = line.copy()
    for _ in range(2):
        blurred = pdq_reference._box(blurred, pdq_reference.window(length))
    expected = blurred[pdq_reference.samples(length), 0]
    assert np.abs(_operator(length) @ line[:, 0] - expected).max() < 0.02
    blocks = line[: -(-length // step), 0]
    even = np.repeat(blocks, step)[:length]
    assert np.allclose(
        sum_weights(_operator(length), step) @ blocks, _operator(length) @ even, atol=0.01
    )


@pytest.mark.parametrize(
    ("size", "step"),
    [((4096, 4100), 8), ((2050, 3000), 4), ((1025, 1111), 2), ((1023, 2000), 1), ((300, 200), 1)],
)
def test_a_jpeg_is_decoded_no_larger_than_needed(size: tuple[int, int], step: int) -> None:
    grey = reduced(JpegImageFile(io.BytesIO(encode(flat(size=size), "jpeg"))))
    assert grey is not None
    assert (grey.step, grey.width, grey.height) == (step, *size)
    assert grey.pixels.shape == (-(-size[1] // step), -(-size[0] // step))


@pytest.mark.parametrize("name", ["jpeg", "jpeg-progressive", "jpeg-grey"])
def test_these_take_the_quick_way(name: str, fingerprint: Hash) -> None:
    result = fingerprint(encode(photo(21, (800, 700)), name), QUICK)
    assert [signal.variant for signal in result.signals] == ["quick"] * 3
    assert result.recipe[:3] == ("pdq/1/quick", "phash64/3/quick", "dhash64/3/quick")


@pytest.mark.parametrize("name", ["png", "webp", "jpeg-cmyk", "png-16-bit", "png-palette", "tiff"])
def test_of_these_pdq_is_exact_and_the_small_hashes_are_quick(name: str, fingerprint: Hash) -> None:
    content = encode(photo(21, (800, 700)), name)
    quick, exact = fingerprint(content, QUICK).signals, fingerprint(content, Plan(TYPES)).signals
    assert quick[0] == exact[0]
    for signal, peer in zip(quick[1:], exact[1:], strict=True):
        assert (int(signal.value, 16) ^ int(peer.value, 16)).bit_count() <= signal.error_bits


@pytest.mark.parametrize("size", [(64, 64), (128, 900), (3, 500), (1, 1)])
def test_tiny_pictures_are_hashed_as_ever(size: tuple[int, int], fingerprint: Hash) -> None:
    content = encode(photo(4, size), "jpeg")
    quick, exact = fingerprint(content, QUICK).signals, fingerprint(content, Plan(TYPES)).signals
    assert quick[0] == exact[0]


def test_a_picture_with_many_uncertain_bits_is_hashed_exactly(fingerprint: Hash) -> None:
    """It is mirrored in both axes: half of its frequencies are zero, ordered by rounding alone."""
    quarter = np.asarray(photo(1, (300, 250)))
    half = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
    content = encode(Image.fromarray(np.concatenate([half, half[::-1]])), "jpeg")
    quick, exact = fingerprint(content, QUICK), fingerprint(content, Plan(TYPES))
    assert quick.signals[0] == exact.signals[0]
    even = encode(flat(size=(400, 300)), "jpeg")
    assert fingerprint(even, QUICK).signals[1] == fingerprint(even, Plan(TYPES)).signals[1]


@pytest.mark.parametrize("contrast", [0.02, 0.05, 0.1, 0.3, 1.0])
def test_quick_quality_is_on_the_side_of_the_exact_one(contrast: float, fingerprint: Hash) -> None:
    """Little contrast leaves few steps between samples, about as many as are needed."""
    for seed in range(6):
        grey = photo(seed, (700, 600)).convert("L").point(lambda level: 100 + contrast * level)
        content = encode(grey, "jpeg")
        quick = fingerprint(content, QUICK).signals
        exact = fingerprint(content, Plan(TYPES)).signals
        limits = [[distance_limit(signal) for signal in signals[1:]] for signals in (quick, exact)]
        assert limits[0] == limits[1]


@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_a_damaged_jpeg_is_hashed_as_ever(share: float, fingerprint: Hash) -> None:
    content = truncated(encode(photo(8, (900, 800)), "jpeg"), share)
    quick, exact = fingerprint(content, QUICK), fingerprint(content, Plan(TYPES))
    assert quick.damaged
    assert quick.signals[0] == exact.signals[0]
    assert quick.skipped == exact.skipped == ()


def test_turned_hashes_are_quick_too(fingerprint: Hash) -> None:
    turned = (ViewKind.TURNED,)
    plan = Plan(("pdq",), views=turned, quick=True)
    content = encode(photo(21, (800, 700)), "jpeg")
    exact = fingerprint(content, Plan(("pdq",), views=turned)).signals
    signals = fingerprint(content, plan).signals
    assert [signal.variant for signal in signals][:2] == ["quick", "rotate90/quick"]
    for signal, other in zip(signals, exact, strict=True):
        assert (int(signal.value, 16) ^ int(other.value, 16)).bit_count() <= signal.error_bits == 10


def test_an_operators_hash_needs_one_full_decode() -> None:
    assert may_reduce(QUICK)
    assert may_reduce(Plan(("md5", "pdq", "own"), quick=True, commands=(("own", ("/bin/true",)),)))
    assert not may_reduce(Plan(("pdq", "photodna"), quick=True))
    assert not may_reduce(Plan(TYPES))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "P"])
def test_rows_are_the_picture(mode: str) -> None:
    image = photo(2, (70, 50)).convert(mode)
    array = np.asarray(image.convert("RGB"))
    rows = PixelRows(image, "RGB")
    assert np.array_equal(np.asarray(rows), array)
    assert np.array_equal(rows[10:33], array[10:33])
    assert PixelRows(image, "L").shape == (50, 70)


def test_samples_of_a_large_picture_are_taken_strip_by_strip() -> None:
    """The result is equal whether the strips end with the picture or not."""
    image = photo(6, (900, 1001)).convert("L")
    picture = quick64(GreyImage(np.asarray(image), 1001, 900))
    assert quick64(GreyImage(PixelRows(image, "L"), 1001, 900)) == picture

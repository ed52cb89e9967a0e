"""Photos of phones, up to 200 million pixels, are hashed in the memory of a small one.

HASHWACHT_LARGE_PHOTOS=240 compares more pictures than the suite does.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from demo.pictures import encode, grainy, photo
from hashwacht.core.types import QUICK_ERROR_BITS, Fingerprint, Reason
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.jpeg_budget import MAX_COLOUR_MEMORY, PIXEL_BYTES, shrink_colours
from support.browser.renderer import distance, pdq

Hash = Callable[..., Fingerprint]

PICTURES = int(os.environ.get("HASHWACHT_LARGE_PHOTOS", "1"))
LARGE = (7200, 4800)
PHONE = (16320, 12240)
"""The largest photos of phones: 200 million pixels."""


def promising(size: tuple[int, int], name: str) -> bytes:
    """Return a small JPEG whose header declares another size."""
    encoded = bytearray(encode(photo(1, (64, 48)), name))
    at = max(encoded.find(marker) for marker in (b"\xff\xc0", b"\xff\xc2"))
    encoded[at + 5 : at + 9] = struct.pack(">HH", size[1], size[0])
    return bytes(encoded)


def test_a_photo_above_33_megapixels_is_decoded_smaller(fingerprint: Hash) -> None:
    assert LARGE[0] * LARGE[1] * PIXEL_BYTES > MAX_COLOUR_MEMORY
    small = photo(3, (1800, 1200)).convert("L")
    content = encode(small.resize(LARGE, Image.Resampling.BILINEAR), "jpeg-grey", quality=70)
    result = fingerprint(content, Plan(("pdq", "phash64", "dhash64")))
    assert result.skipped == ()
    assert {signal.type for signal in result.signals if signal.error_bits} == {*QUICK_ERROR_BITS}
    expected, value = pdq(np.asarray(small.convert("RGB"))), result.signals[0]
    assert value.type == "pdq"
    bits = int(value.value, 16) ^ int(expected.value, 16)
    assert bits.bit_count() <= QUICK_ERROR_BITS["pdq"]


@pytest.mark.parametrize("step", [2, 4])
def test_hashes_of_smaller_decodes_are_a_few_bits_off(step: int) -> None:
    """Compared with the reference for the full size."""
    for seed in range(PICTURES):
        content = encode(grainy(photo(seed, (1600, 1200)), 3 + 5 * (seed % 3), seed), "jpeg")
        full, smaller = Image.open(io.BytesIO(content)), Image.open(io.BytesIO(content))
        smaller.draft("RGB", (1600 // step, 1200 // step))
        assert smaller.size == (1600 // step, 1200 // step)
        exact, near = pdq(np.asarray(full)), pdq(np.asarray(smaller))
        assert distance(exact, near) <= QUICK_ERROR_BITS["pdq"]
        assert abs(exact.quality - near.quality) <= 3


@pytest.mark.parametrize(
    ("size", "step"), [((6000, 4000), 1), ((8160, 6144), 2), ((12000, 9000), 2), (PHONE, 4)]
)
def test_the_decoded_size_fits_into_a_bounded_memory(size: tuple[int, int], step: int) -> None:
    image = JpegImageFile(io.BytesIO(promising(size, "jpeg")))
    shrink_colours(image)
    assert image.size == (size[0] // step, size[1] // step)
    assert image.width * image.height * PIXEL_BYTES <= MAX_COLOUR_MEMORY


def test_the_coefficients_of_a_large_progressive_photo_are_limited(fingerprint: Hash) -> None:
    """They are in memory at once, whatever the size of the decoded picture."""
    content = promising((12000, 9000), "jpeg-progressive")
    limited = Limits(max_decoded_memory=256 << 20)
    result = fingerprint(content, Plan(("pdq",), limited))
    assert [skip.reason for skip in result.skipped] == [Reason.OVER_LIMIT]
    assert result.skipped[0].detail == "the scans of 12000x9000 pixels take 308 MiB"
    sequential = fingerprint(promising(PHONE, "jpeg"), Plan(("pdq",), limited))
    assert Reason.OVER_LIMIT not in {skip.reason for skip in sequential.skipped}

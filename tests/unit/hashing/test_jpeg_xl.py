"""JPEG XL: sizes from the header, packed JPEGs, and what of an animation is not decoded."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.pictures import encode, photo
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.decoders.jpeg_xl import JpegXlImageFile, read_header
from hashwacht.hashing.jpeg_budget import count_scans
from support.pictures.jxl_files import ANIMATION, jxl, packed_jpeg

Hash = Callable[..., Fingerprint]

PICTURE = photo(3, (72, 54))
PERCEPTUAL = ("pdq", "phash64", "dhash64")


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 300), height=st.integers(1, 300), container=st.booleans())
def test_the_header_gives_the_size(width: int, height: int, container: bool) -> None:
    content = jxl(PICTURE.resize((width, height)), use_container=container, effort=1)
    assert read_header(content) == ((width, height), False)


def test_a_packed_jpeg_is_decoded_as_that_jpeg(fingerprint: Hash) -> None:
    packed, plain = fingerprint(packed_jpeg(PICTURE)), fingerprint(encode(PICTURE, "jpeg"))
    assert packed.kind == "image/jxl"
    assert packed.skipped == ()
    assert {(s.type, s.value) for s in packed.signals if s.type in PERCEPTUAL} >= {
        (s.type, s.value) for s in plain.signals if s.type in PERCEPTUAL and not s.variant
    }


@pytest.mark.parametrize("form", ["jpeg", "jpeg-progressive"])
def test_scans_of_a_packed_jpeg_are_limited(form: str, fingerprint: Hash) -> None:
    scans, pixels = count_scans(encode(PICTURE, form)), PICTURE.width * PICTURE.height
    packed = packed_jpeg(PICTURE, form)
    assert scans == (1 if form == "jpeg" else 10)
    for most, reasons in ((scans, set()), (scans - 1, {Reason.OVER_LIMIT})):
        plan = Plan(("pdq",), Limits(max_decoded_pixels=pixels * most))
        assert {skip.reason for skip in fingerprint(packed, plan).skipped} == reasons


def test_an_animation_is_hashed_in_part_and_undetermined(fingerprint: Hash) -> None:
    result = fingerprint(ANIMATION)
    assert {signal.type for signal in result.signals} >= set(PERCEPTUAL)
    assert {(skip.type, skip.reason) for skip in result.skipped} == {
        (name, Reason.NO_DECODER) for name in PERCEPTUAL
    }


@pytest.mark.parametrize("length", [2, 5, 20, 150])
def test_a_truncated_picture_is_undetermined(length: int, fingerprint: Hash) -> None:
    result = fingerprint(ANIMATION[:length])
    assert result.kind == "image/jxl"
    assert {skip.reason for skip in result.skipped} == {Reason.DAMAGED}


def test_without_the_extra_it_is_undetermined(
    fingerprint: Hash, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = jxl(PICTURE)
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)  # what an import finds without the package
    result = fingerprint(content)
    assert result.kind == "image/jxl"
    assert {skip.reason for skip in result.skipped} == {Reason.NO_DECODER}


def test_a_size_over_the_limit_is_refused_before_decoding(fingerprint: Hash) -> None:
    small = Plan(("pdq",), Limits(max_decoded_memory=4000))
    assert {skip.reason for skip in fingerprint(jxl(PICTURE), small).skipped} == {Reason.OVER_LIMIT}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"]))
def test_any_header_gives_a_size_or_an_error(rest: bytes, signature: bytes) -> None:
    try:
        image = JpegXlImageFile(io.BytesIO(signature + rest))
    except (OSError, SyntaxError, ValueError):
        return
    assert min(image.size) > 0

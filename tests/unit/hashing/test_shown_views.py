"""The views of images of any mode, with any metadata."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from demo.pictures import photo
from hashwacht.hashing.views.colours import conversions
from hashwacht.hashing.views.shown import needs_full_decode, orientation, shown_views

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I", "F", "I;16")
PROFILES = ("sRGB", "LAB", "XYZ")


def built_in(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]  # one of PROFILES


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1100, 1030)])
def test_every_mode_has_views_of_three_channels(mode: str, size: tuple[int, int]) -> None:
    profiles = [None, b"", b"none" * 50, *map(built_in, PROFILES)]
    for profile in profiles:
        image = Image.new(mode, size)
        image.info["icc_profile"] = profile
        for _, view in shown_views(image):
            assert view.mode == "RGB"
            assert view.width * size[1] == pytest.approx(view.height * size[0], rel=0.01)


def test_a_usual_profile_needs_no_full_decode() -> None:
    image = Image.new("RGB", (8, 8))
    image.info["icc_profile"] = built_in("sRGB")
    assert not needs_full_decode(image)


def test_a_colour_key_is_seen_on_both_pages() -> None:
    image = Image.new("RGB", (64, 64), (120, 120, 120))
    image.paste((9, 9, 9), (0, 0, 64, 32))
    image.info["transparency"] = (9, 9, 9)
    pages = {name: view.getpixel((5, 5)) for name, view in shown_views(image)}
    assert pages == {"white": (255, 255, 255), "black": (0, 0, 0)}


@settings(max_examples=100)
@given(exif=st.binary(max_size=60), order=st.sampled_from((b"", b"II*\0", b"MM\0*")))
def test_any_exif_yields_an_orientation(exif: bytes, order: bytes) -> None:
    image = Image.new("L", (8, 8))
    image.info["exif"] = order + exif
    assert orientation(image) in {
        *("", "flop", "rotate180", "flip"),
        *("transpose", "rotate270", "transverse", "rotate90"),
    }


@settings(max_examples=50, deadline=None)
@given(
    gamma=st.floats(-1, 50),
    points=st.lists(st.floats(-2, 2), min_size=0, max_size=8),
)
def test_any_gamma_and_primaries_yield_colours(gamma: float, points: list[float]) -> None:
    image = Image.new("RGB", (8, 8), (1, 128, 255))
    image.format = "PNG"
    image.info |= {"gamma": gamma, "chromaticity": tuple(points)}
    for convert in conversions(image):
        assert convert(image).size == image.size


def test_colours_are_converted_in_little_memory() -> None:
    image = photo(4).resize((1500, 1200))
    image.info["gamma"] = 1.0
    (convert,) = conversions(image)
    small = convert(image.crop((0, 700, 1500, 720)))
    tracemalloc.start()
    converted = convert(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * image.width * image.height
    assert converted.crop((0, 700, 1500, 720)).tobytes() == small.tobytes()


@settings(max_examples=50, deadline=None)
@given(at=st.integers(0, 500), value=st.integers(0, 255), cut=st.integers(0, 600))
def test_any_damaged_profile_is_applied_or_ignored(at: int, value: int, cut: int) -> None:
    profile = bytearray(built_in("sRGB"))
    profile[at % len(profile)] = value
    image = Image.new("RGB", (8, 8))
    image.info["icc_profile"] = struct.pack(">I", len(profile)) + bytes(
        profile[4 : len(profile) - cut]
    )
    assert [view.mode for _, view in shown_views(image)] in ([], ["RGB"])

"""BMP, ICO and CUR are decoded exactly, in every layout that a browser shows."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from demo.pictures import photo
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.hashing import Plan
from hashwacht.hashing.decoders.bitmap import open_bitmap
from hashwacht.hashing.decoders.bitmap_header import HEADER_LENGTHS
from hashwacht.hashing.decoders.icon import open_icon
from support.pictures.bmp_files import BITFIELDS, OS2_RLE24, RLE4, RLE8, bmp, icon

Hash = Callable[..., Fingerprint]

PICTURE = photo(5, (45, 31))
PIXELS = np.asarray(PICTURE)


def decoded(content: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = open_bitmap(io.BytesIO(content))
    image.load()
    return np.asarray(image.convert("RGB"))


def quantized(colours: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(PICTURE.quantize(colours, dither=Image.Dither.NONE).convert("RGB"))


@pytest.mark.parametrize("length", sorted(HEADER_LENGTHS))
def test_a_header_of_any_length_gives_the_pixels(length: int) -> None:
    assert np.array_equal(decoded(bmp(PICTURE, header=length)), PIXELS)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("top_down", [False, True])
def test_palettes_of_any_depth_give_the_pixels(bits: int, top_down: bool) -> None:
    assert np.array_equal(decoded(bmp(PICTURE, bits=bits, top_down=top_down)), quantized(1 << bits))


def test_a_palette_may_have_more_entries_than_pixels_name() -> None:
    assert np.array_equal(decoded(bmp(PICTURE, bits=8, colours=70_000)), quantized(256))


@pytest.mark.parametrize(
    ("bits", "compression", "header", "colours"),
    [(8, RLE8, 40, 256), (4, RLE4, 40, 16)],
)
def test_runs_give_the_pixels(bits: int, compression: int, header: int, colours: int) -> None:
    content = bmp(PICTURE, bits=bits, compression=compression, header=header)
    assert np.array_equal(decoded(content), quantized(colours))


def test_runs_of_true_colour_give_the_pixels() -> None:
    assert np.array_equal(decoded(bmp(PICTURE, header=64, compression=OS2_RLE24)), PIXELS)


def test_single_pixels_among_runs_are_copied() -> None:
    """Five pixels as they are and a filler byte, then a run, then the end."""
    runs = bytes((0, 5, 0, 1, 0, 1, 1, 0)) + bytes((3, 1)) + b"\0\0\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, 8, 1, 1, 8, RLE8, len(runs), 0, 0, 2, 0)
    palette = bytes((0, 0, 0, 0, 255, 255, 255, 0))
    start = struct.pack("<2sIII", b"BM", 0, 0, 14 + 40 + 8)
    row = decoded(start + header + palette + runs)[0, :, 0]
    assert row.tolist() == [0, 255, 0, 255, 255, 255, 255, 255]


def test_skipped_pixels_are_transparent() -> None:
    runs = bytes((2, 1, 0, 2, 2, 0, 2, 1)) + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, 8, 1, 1, 8, RLE8, len(runs), 0, 0, 2, 0)
    start = struct.pack("<2sIII", b"BM", 0, 0, 14 + 40 + 8)
    image = open_bitmap(io.BytesIO(start + header + bytes(8) + runs))
    image.load()
    assert np.asarray(image)[0, :, 3].tolist() == [255, 255, 0, 0, 255, 255, 0, 0]


@pytest.mark.parametrize("most", [1, 3, 5, 8, 10])
def test_masks_of_any_width_give_the_pixels(most: int) -> None:
    """The colours are those of the original to half a step of the mask."""
    mask = (1 << most) - 1
    content = bmp(PICTURE, bits=32, compression=BITFIELDS, masks=(mask << 20, mask << 10, mask))
    difference = np.abs(decoded(content).astype(int) - PIXELS)
    assert difference.max() <= max(1, 128 // mask + 1)


def test_of_a_mask_with_gaps_the_lowest_bits_count() -> None:
    """Chromium refuses it; Firefox shows the picture."""
    plain = bmp(PICTURE, bits=16, compression=BITFIELDS, masks=(0xF00, 0xF0, 0xF))
    gaps = bmp(PICTURE, bits=16, compression=BITFIELDS, masks=(0xF00, 0xF0, 0x10F))
    gaps = gaps[:66] + plain[66:]
    assert np.array_equal(decoded(gaps), decoded(plain))


@pytest.mark.parametrize("layout", [{}, {"header": 12}, {"bits": 8}, {"header": 108}])
@pytest.mark.parametrize("offset", [1, 30])
def test_pixels_that_begin_early_are_read_in_both_ways(
    layout: dict[str, int], offset: int, fingerprint: Hash
) -> None:
    """Chromium begins where the file declares it, Firefox after the palette."""
    content = bytearray(bmp(photo(5, (90, 70)), **layout))
    intact = fingerprint(bytes(content), Plan(("pdq",)))
    struct.pack_into("<I", content, 10, min(offset, 12 + 8))
    result = fingerprint(bytes(content), Plan(("pdq",)))
    assert intact.signals[0].value in {signal.value for signal in result.signals}
    assert len(result.signals) == 2


def test_an_alpha_channel_is_kept_unless_it_is_empty() -> None:
    picture = PICTURE.convert("RGBA")
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    for alpha, mode in ((77, "RGBA"), (0, "RGB")):
        picture.putalpha(alpha)
        content = bmp(picture, header=56, bits=32, compression=BITFIELDS, masks=masks)
        image = open_bitmap(io.BytesIO(content))
        image.load()
        assert image.mode == mode


def test_rows_that_a_file_lacks_are_transparent() -> None:
    content = bmp(PICTURE)
    image = open_bitmap(io.BytesIO(content[: len(content) - 10 * 136]))
    with pytest.raises(OSError, match="truncated"):
        image.load()
    image.load()
    pixels = np.asarray(image)
    assert not pixels[:10, :, 3].any()  # the last row comes first in the file
    assert np.array_equal(pixels[10:, :, :3], PIXELS[10:])


@pytest.mark.parametrize("cursor", [False, True])
@pytest.mark.parametrize("png", [False, True])
def test_the_largest_entry_of_an_icon_is_shown(cursor: bool, png: bool) -> None:
    content = icon([photo(1, (16, 16)), PICTURE, photo(2, (32, 32))], cursor=cursor, png=png)
    image = open_icon(io.BytesIO(content))
    image.load()
    assert np.array_equal(np.asarray(image.convert("RGB")), PIXELS)


def test_the_mask_of_an_icon_is_its_alpha_channel() -> None:
    content = bytearray(icon([PICTURE], bits=24))
    rows = bytes((0x80, 0, 0, 0, 0, 0, 0, 0)) * 31
    content[-len(rows) :] = rows
    image = open_icon(io.BytesIO(bytes(content)))
    image.load()
    alpha = np.asarray(image)[..., 3]
    assert not alpha[:, 0].any()
    assert (alpha[:, 1:] == 255).all()


def test_a_tga_is_no_mouse_pointer(fingerprint: Hash) -> None:
    """Uncompressed TGA files begin with the same bytes as such a mouse pointer."""
    result = fingerprint(b"\0\0\2\0" + bytes(8) + struct.pack("<HHBB", 4, 4, 24, 0) + bytes(48))
    assert result.kind != "image/x-win-bitmap"
    assert {skip.reason for skip in result.skipped} <= {Reason.OTHER_KIND, Reason.NO_DECODER}


def test_an_enormous_bitmap_is_over_the_limit(fingerprint: Hash) -> None:
    content = bytearray(bmp(PICTURE, bits=2))
    struct.pack_into("<ii", content, 18, 60_000, -60_000)
    assert {skip.reason for skip in fingerprint(bytes(content)).skipped if skip.type == "pdq"} == {
        Reason.OVER_LIMIT
    }


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(HEADER_LENGTHS)),
    st.sampled_from([1, 2, 4, 8, 16, 24, 32]),
    st.integers(0, 7),
    st.binary(max_size=400),
)
def test_any_bytes_of_a_bitmap_give_a_picture_or_an_error(
    length: int, bits: int, compression: int, rest: bytes
) -> None:
    fields = struct.pack("<IiiHHI", length, 7, 5, 1, bits, compression)[:length]
    start = struct.pack("<2sIII", b"BM", 0, 0, 54)
    try:
        image = open_bitmap(io.BytesIO(start + fields + rest))
    except (OSError, SyntaxError, struct.error):
        return
    try:
        image.load()
    except OSError:
        image.load()
    assert min(image.size) > 0

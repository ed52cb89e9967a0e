"""Truncation does not evade a match: a picture that a browser still shows is hashed as shown."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from demo.pictures import ENCODERS, encode, grainy, photo, truncated
from hashwacht.core.types import Fingerprint, Reason, Signal
from hashwacht.core.views import ViewKind
from hashwacht.hashing import Plan
from hashwacht.hashing.damage import png, webp
from hashwacht.hashing.in_process import FingerprintBuilder
from hashwacht.hashing.registry import BUILT_IN_HASHERS
from support.pictures.damage import arithmetic_jpeg
from support.pictures.jpeg_files import jpeg_variants
from support.pictures.png_files import png_variants
from support.pictures.webp_files import chunk

Hash = Callable[..., Fingerprint]

SOURCE = photo(33, (200, 150))
ENCODED = {name: encode(SOURCE, name) for name in ENCODERS}
SHOWN_IN_PART = [
    *["jpeg", "jpeg-progressive", "jpeg-grey", "jpeg-cmyk", "png", "png-16-bit", "png-palette"],
    *["png-alpha", "gif", "gif-animated", "webp", "tiff", "bmp"],
]
PERCEPTUAL = {"pdq", "phash64", "dhash64"}


def pdq_of(fingerprint: Fingerprint) -> str:
    return next(signal.value for signal in fingerprint.signals if signal.type == "pdq")


def distance_to_the_whole(fingerprint: Hash, name: str, damaged: bytes) -> int:
    original, part = (
        next(int(s.value, 16) for s in fingerprint(picture).signals if s.type == "pdq")
        for picture in (ENCODED[name], damaged)
    )
    return (original ^ part).bit_count()


@pytest.mark.parametrize("name", SHOWN_IN_PART)
def test_a_truncated_picture_is_hashed_as_shown_and_marked(name: str, fingerprint: Hash) -> None:
    result = fingerprint(truncated(ENCODED[name], 0.6))
    assert result.damaged
    assert {signal.type for signal in result.signals} >= PERCEPTUAL
    assert result.skipped == ()


@pytest.mark.parametrize("name", ["jpeg", "jpeg-progressive", "png", "gif", "webp", "bmp"])
def test_cutting_off_the_end_does_not_hide_a_known_picture(name: str, fingerprint: Hash) -> None:
    assert distance_to_the_whole(fingerprint, name, truncated(ENCODED[name], 0.99)) <= 31


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(sorted(ENCODERS)), share=st.floats(0, 1))
@pytest.mark.filterwarnings("ignore")
def test_truncated_anywhere_each_type_is_hashed_or_skipped(
    name: str, share: float, fingerprint: Hash
) -> None:
    """There is never an exception, and never a silent change of the kind."""
    cut = truncated(ENCODED[name], share)
    result = fingerprint(cut)
    hashed = {signal.type for signal in result.signals} & PERCEPTUAL
    skipped = {skip.type for skip in result.skipped if skip.reason.undetermined}
    if len(cut) >= 24:
        assert hashed | skipped == PERCEPTUAL
        if not result.damaged and not skipped:  # only bytes after the picture were cut
            intact = fingerprint(ENCODED[name])
            assert {s for s in result.signals if s.type in PERCEPTUAL} == {
                s for s in intact.signals if s.type in PERCEPTUAL
            }


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(sorted(ENCODERS)), flips=st.data())
@pytest.mark.filterwarnings("ignore")
def test_bytes_changed_anywhere_never_raise(
    name: str, flips: st.DataObject, fingerprint: Hash
) -> None:
    content = bytearray(ENCODED[name])
    for _ in range(flips.draw(st.integers(1, 8))):
        content[flips.draw(st.integers(0, len(content) - 1))] = flips.draw(st.integers(0, 255))
    result = fingerprint(bytes(content))
    hashed = {signal.type for signal in result.signals} & PERCEPTUAL
    assert hashed | {skip.type for skip in result.skipped} >= PERCEPTUAL


def png_chunk(name: bytes, body: bytes, *, checksum: int | None = None) -> bytes:
    right = zlib.crc32(name + body)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum or right)


def test_a_wrong_checksum_in_metadata_of_a_png_hides_nothing(fingerprint: Hash) -> None:
    content = ENCODED["png"]
    broken = content[:33] + png_chunk(b"tEXt", b"a\0b", checksum=1) + content[33:]
    assert distance_to_the_whole(fingerprint, "png", broken) == 0
    assert fingerprint(broken).damaged


def test_a_wrong_checksum_in_an_animated_png_hides_no_frame(fingerprint: Hash) -> None:
    content = ENCODED["png-animated"]
    broken = content[:33] + png_chunk(b"tEXt", b"a\0b", checksum=1) + content[33:]
    assert fingerprint(broken).signals[3:] == fingerprint(content).signals[3:]
    assert fingerprint(broken).damaged


def test_declaring_missing_frames_does_not_hide_the_others(
    fingerprint: Hash,
) -> None:
    """Frames are chosen evenly from the declared number, so the existing ones might be missed."""
    content = ENCODED["png-animated"]
    at = content.index(b"acTL") + 4
    lying = (
        content[: at - 8] + png_chunk(b"acTL", struct.pack(">II", 10**6, 0)) + content[at + 12 :]
    )
    result = fingerprint(lying)
    assert {skip.type for skip in result.skipped if skip.reason.undetermined} == PERCEPTUAL


def test_nonsense_in_metadata_of_a_jpeg_hides_nothing(fingerprint: Hash) -> None:
    """Pillow warns, and where warnings are errors, as in these tests, it refuses the picture."""
    content = ENCODED["jpeg"]
    nonsense = b"Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\xff" * 20
    segment = b"\xff\xe1" + struct.pack(">H", len(nonsense) + 2) + nonsense
    broken = content[:2] + segment + content[20:]
    assert distance_to_the_whole(fingerprint, "jpeg", broken) == 0
    assert fingerprint(broken).damaged


@pytest.mark.parametrize("size", [(200, 150), (1600, 1200)])
def test_an_arithmetic_coded_jpeg_of_any_size_is_decoded(
    size: tuple[int, int], fingerprint: Hash
) -> None:
    sequential = encode(grainy(photo(5, size)), "jpeg")
    result = fingerprint(arithmetic_jpeg(sequential))
    assert not result.damaged
    assert pdq_of(result) == pdq_of(fingerprint(sequential))


def test_a_value_is_looked_up_if_one_view_is_reliable() -> None:
    """A strip on the grey of the decoder may have too little contrast, and enough on white."""
    builder, value = FingerprintBuilder(), "0f" * 32
    poor, good = Signal("pdq", value, 38), Signal("pdq", value, 80, "white")
    builder.run_hasher(BUILT_IN_HASHERS["pdq"], lambda: [poor, good, replace(good, quality=90)])
    assert builder.signals == (good,)


def test_a_wrong_checksum_of_pixels_yields_what_browsers_show(fingerprint: Hash) -> None:
    """Pillow ignores it, a browser stops there and shows the page below."""
    whole = encode(grainy(photo(8, (400, 300))), "png")
    at = whole.index(b"IDAT") + 4
    broken = bytearray(whole)
    broken[at + int.from_bytes(whole[at - 8 : at - 4], "big")] ^= 1
    plan = Plan(types=("md5", "pdq"), views=(ViewKind.SHOWN,))
    result = fingerprint(bytes(broken), plan)
    assert result.damaged
    assert {signal.variant for signal in result.signals if signal.type == "pdq"} >= {"", "white"}


@pytest.mark.parametrize("name", ["avif", "heic", "tiff-lzw"])
def test_what_no_browser_would_show_is_undetermined(name: str, fingerprint: Hash) -> None:
    result = fingerprint(truncated(ENCODED[name], 0.6))
    assert {skip.reason for skip in result.skipped} == {Reason.DAMAGED}
    assert not {signal.type for signal in result.signals} & PERCEPTUAL
    assert not result.damaged


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp"])
def test_a_header_and_nothing_else_is_a_damaged_picture(name: str, fingerprint: Hash) -> None:
    result = fingerprint(ENCODED[name][:20])
    assert result.kind.startswith("image/")
    assert {(skip.type, skip.reason) for skip in result.skipped} == {
        (name, Reason.DAMAGED) for name in PERCEPTUAL
    }


ODD = {**dict(jpeg_variants(SOURCE)), **dict(png_variants(SOURCE))}


@pytest.mark.parametrize(
    "name",
    [
        *("jpeg-short-app0", "jpeg-short-adobe", "jpeg-standalone-tem"),
        *("png-empty-trns", "png-short-trns-bad-checksum", "png-empty-actl"),
        "png-stray-fctl-bad-checksum",
    ],
)
def test_what_browsers_ignore_hides_no_picture(name: str, fingerprint: Hash) -> None:
    assert distance_to_the_whole(fingerprint, name.partition("-")[0], ODD[name]) == 0
    assert fingerprint(ODD[name]).skipped == ()


@pytest.mark.parametrize("interlaced", [0, 1])
def test_what_follows_the_rows_of_a_png_is_not_decompressed(
    interlaced: int, fingerprint: Hash
) -> None:
    """A wrong checksum has the search for damage begin; 64 MiB follow rows of 4 KiB."""
    compress = zlib.compressobj()
    parts = [compress.compress(bytes(1 << 20)) for _ in range(64)] + [compress.flush()]
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, interlaced)
    pixels = png_chunk(b"IDAT", b"".join(parts)) + png_chunk(b"IDAT", b"x", checksum=1)
    original = png.SIGNATURE + png_chunk(b"IHDR", header) + pixels + png_chunk(b"IEND", b"")
    assert fingerprint(original).damaged
    stills = png.decode(original, lambda content: PngImageFile(io.BytesIO(content)))
    assert [still.getchannel("A").getextrema() for still in stills] == [(255, 255)] * 2
    end, inflated = png._damage(original)
    assert end < len(original)
    assert inflated is not None
    assert inflated < 8 << 20


def test_a_webp_of_many_empty_chunks_of_pixels_is_not_enlarged() -> None:
    original = encode(photo(3, (64, 48)), "webp")[:-50] + chunk(b"VP8 ", b"") * 10_000
    sizes = []

    def open_picture(content: bytes) -> ImageFile:
        sizes.append(len(content))
        return WebPImageFile(io.BytesIO(content))

    with suppress(OSError):
        list(webp.decode(original, open_picture))
    assert sizes
    assert max(sizes) < 2 * len(original)

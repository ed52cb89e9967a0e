"""Everything is bounded, and what the limits leave out is always reported."""

from __future__ import annotations

import io
import itertools
import os
import resource
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.pictures import animated, encode, flat, photo
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing.jpeg_budget import START_OF_SCAN, count_scan_markers, count_scans
from support.hostile.hostile_files import progressive
from support.pictures.bmp_files import EMBEDDED_JPEG, bmp

Hash = Callable[..., Fingerprint]

TYPES = ("md5", "pdq", "dhash64")


def plan(**limits: float) -> Plan:
    return Plan(types=TYPES, limits=Limits(**limits))  # type: ignore[arg-type]  # ints are floats


def reasons(fingerprint: Fingerprint) -> set[tuple[str, Reason]]:
    return {(skip.type, skip.reason) for skip in fingerprint.skipped}


def frames(fingerprint: Fingerprint) -> list[str]:
    return [signal.variant for signal in fingerprint.signals if signal.type == "dhash64"]


OVER = {("pdq", Reason.OVER_LIMIT), ("dhash64", Reason.OVER_LIMIT)}


@pytest.mark.parametrize(
    "name", ["png", "gif", "webp", "webp-lossless", "webp-alpha", "avif", "tiff", "bmp"]
)
def test_too_many_pixels_are_refused_and_the_digests_stay(name: str, fingerprint: Hash) -> None:
    encoded = encode(photo(1, (100, 80)), name)
    result = fingerprint(encoded, plan(max_decoded_memory=31_999))
    assert reasons(result) == OVER
    assert [signal.type for signal in result.signals] == ["md5"]
    assert "100x80" in result.skipped[0].detail
    assert fingerprint(encoded, plan(max_decoded_memory=32_000)).skipped == ()


def huge(name: str) -> bytes:
    """Return a few bytes whose header promises at least a gigapixel."""
    if name == "png":
        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        chunk = b"IHDR" + header
        return (
            b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
            + struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT"
            + struct.pack(">I", zlib.crc32(b"IDAT"))
        )  # fmt: skip
    encoded = bytearray(encode(flat(size=(32, 32)), name))
    if name == "gif":
        encoded[6:10] = b"\xff\xff\xff\xff"
    elif name == "bmp":
        encoded[18:26] = struct.pack("<ii", 60_000, 60_000)
    else:
        at = encoded.index(b"\xff\xc0")
        encoded[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    return bytes(encoded)


@pytest.mark.parametrize("name", ["png", "gif", "bmp", "jpeg"])
def test_a_header_that_promises_gigapixels_takes_no_memory(name: str, fingerprint: Hash) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = fingerprint(huge(name), plan())
    assert reasons(result) == OVER
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_large_webp_canvas_is_refused_before_decoding(
    fingerprint: Hash,
) -> None:
    encoded = bytearray(encode(photo(1, (64, 64)), "webp-animated"))
    assert encoded[12:16] == b"VP8X"
    encoded[24:30] = b"\xff\x3f\0\xff\x3f\0"
    assert reasons(fingerprint(bytes(encoded), plan())) == OVER


def test_an_icon_is_refused_by_its_content_not_its_directory(fingerprint: Hash) -> None:
    inside = huge("png")
    directory = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inside), 22)
    result = fingerprint(directory + inside, plan())
    assert result.kind == "image/vnd.microsoft.icon"
    assert reasons(result) == OVER


def test_a_picture_of_too_many_bytes_keeps_its_digests(fingerprint: Hash) -> None:
    encoded = encode(photo(1, (200, 200)), "bmp")
    result = fingerprint(encoded, plan(max_picture_size=len(encoded) - 1))
    assert reasons(result) == OVER
    assert [signal.type for signal in result.signals] == ["md5"]
    assert result.size == len(encoded)
    assert fingerprint(encoded, plan(max_picture_size=len(encoded))).skipped == ()


@pytest.mark.parametrize("form", ["gif", "webp", "png", "tiff"])
def test_frames_are_taken_evenly_with_the_first_and_the_last(form: str, fingerprint: Hash) -> None:
    encoded = animated([photo(i, (64, 48)) for i in range(10)], form)
    result = fingerprint(encoded, plan(max_frames=4))
    assert frames(result) == ["frame:0", "frame:3", "frame:6", "frame:9"]
    assert reasons(result) == OVER
    assert result.skipped[0].detail == "decoded 4 of 10 frames"
    assert fingerprint(encoded, plan(max_frames=10)).skipped == ()


def test_harmless_frames_in_front_do_not_hide_the_last_one(fingerprint: Hash) -> None:
    hidden = photo(99, (96, 96))
    encoded = animated([photo(i, (96, 96)) for i in range(30)] + [hidden], "webp", lossless=True)
    last = fingerprint(encode(hidden, "png"), plan()).signals[-1].value
    assert last in {signal.value for signal in fingerprint(encoded, plan(max_frames=3)).signals}


def test_only_the_first_frames_of_a_very_large_animation(
    fingerprint: Hash,
) -> None:
    encoded = animated([photo(i, (320, 240)) for i in range(15)], "gif")
    result = fingerprint(encoded, plan(max_decoded_pixels=20 * 320 * 240))
    assert frames(result) == [f"frame:{number}" for number in range(10)]
    assert reasons(result) == OVER
    assert result.skipped[0].detail == "decoded 10 of 15 frames"
    assert fingerprint(encoded, plan(max_decoded_pixels=40 * 320 * 240)).skipped == ()


def test_a_picture_of_thousands_of_scans_is_not_decoded(fingerprint: Hash) -> None:
    result = fingerprint(progressive(7000, 3000), plan())
    assert reasons(result) == OVER
    assert "3005 scans of 7000x7000 pixels" in result.skipped[0].detail


def test_a_picture_of_thousands_of_scans_in_a_bitmap_is_not_decoded(fingerprint: Hash) -> None:
    bitmap = bmp(photo(1, (64, 64)), bits=0, compression=EMBEDDED_JPEG)
    result = fingerprint(bitmap[: bitmap.index(b"\xff\xd8")] + progressive(7000, 3000), plan())
    assert reasons(result) == OVER
    assert "3005 scans of 7000x7000 pixels" in result.skipped[0].detail


def test_scans_are_counted_only_where_they_are_scans(fingerprint: Hash) -> None:
    picture = encode(photo(1, (640, 480)), "jpeg", progressive=True)
    appended = b"\xff\xda\0\x02" * 100_000  # as a video appended to a photo may contain by chance
    assert count_scans(picture + appended) == count_scans(picture) == 10
    assert fingerprint(picture + appended, plan()).skipped == ()
    comment = b"\xff\xfe\x40\x02" + appended[:16384]
    assert count_scans(picture[:2] + comment + picture[2:]) == 10


def test_equal_frames_count_once_wherever_they_stand(fingerprint: Hash) -> None:
    image, two = photo(1, (64, 48)), photo(2, (64, 48))
    result = fingerprint(animated([image, two] * 6, "tiff"), plan())
    assert frames(result) == ["frame:0", "frame:1"]


def test_frames_that_take_too_long_are_accounted_for() -> None:
    ticks: Iterator[int] = itertools.count()
    hasher = InProcessFingerprinter(plan(timeout=10), clock=lambda: next(ticks))
    with tempfile.TemporaryFile() as file:
        file.write(animated([photo(i, (64, 48)) for i in range(20)], "tiff"))
        file.seek(0)
        fingerprint = hasher.fingerprint(file.fileno())
    assert frames(fingerprint)[0] == "frame:0"
    assert len(frames(fingerprint)) < 20
    assert reasons(fingerprint) == {("pdq", Reason.TIMED_OUT), ("dhash64", Reason.TIMED_OUT)}


def test_a_page_that_is_too_large_does_not_take_the_others_along(fingerprint: Hash) -> None:
    encoded = animated([photo(1, (64, 48)), photo(2, (640, 480))], "tiff")
    result = fingerprint(encoded, plan(max_decoded_memory=40_000))
    assert frames(result) == ["frame:0"]
    assert reasons(result) == OVER


def test_a_file_system_that_refuses_is_an_error_of_the_caller() -> None:
    with tempfile.TemporaryDirectory() as directory:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            with pytest.raises(OSError, match="directory"):
                InProcessFingerprinter(plan()).fingerprint(descriptor)
        finally:
            os.close(descriptor)


def test_a_content_of_many_chunks_is_read_whole_and_once(fingerprint: Hash) -> None:
    encoded = encode(photo(4, (1300, 1000)), "bmp")
    assert len(encoded) > 3 << 20
    assert fingerprint(encoded, plan()).skipped == ()
    with tempfile.TemporaryFile() as file:
        file.write(encoded)
        file.seek(0)
        InProcessFingerprinter(plan()).fingerprint(file.fileno())
        assert os.lseek(file.fileno(), 0, io.SEEK_CUR) == len(encoded)


@given(st.lists(st.sampled_from([b"\xff", b"\xda", b"\x00", b"\xff\xda"])).map(b"".join))
def test_markers_are_counted_wherever_they_stand(content: bytes) -> None:
    assert count_scan_markers(content) == content.count(START_OF_SCAN)

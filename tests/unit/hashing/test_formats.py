"""Every format has its kind and its signals, which equal those of the reference hashers."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from collections.abc import Callable

import imagehash
import numpy as np
import pdqhash
import pytest
from PIL import Image

from demo.pictures import ENCODERS, encode, photo
from hashwacht.core.types import Fingerprint, Reason, Skip
from hashwacht.core.views import ViewKind
from hashwacht.hashing import Plan

Hash = Callable[..., Fingerprint]

SOURCE = photo(21, (360, 270))
PERCEPTUAL = ("pdq", "phash64", "dhash64")
DIGESTS = ("md5", "sha1", "sha256")

KINDS = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "heic": "image/heic",
}
STILL = [name for name in ENCODERS if not name.endswith(("-animated", "-pages"))]
MOVING = [name for name in ENCODERS if name.endswith(("-animated", "-pages"))]


def bits_apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def by_type(fingerprint: Fingerprint) -> dict[str, str]:
    return {signal.type: signal.value for signal in fingerprint.signals}


@pytest.mark.parametrize("name", STILL)
def test_every_format_gives_its_kind_and_all_signals(name: str, fingerprint: Hash) -> None:
    encoded = encode(SOURCE, name)
    result = fingerprint(encoded)
    assert result.kind == KINDS[name.partition("-")[0]]
    assert result.skipped == ()
    assert not result.damaged
    assert [signal.type for signal in result.signals] == [*DIGESTS, *PERCEPTUAL]
    assert {signal.variant for signal in result.signals} == {""}
    assert (result.key, result.size) == (hashlib.sha256(encoded).hexdigest(), len(encoded))


@pytest.mark.parametrize(
    "name", [encoder for encoder in ENCODERS if encoder != "png-black-and-white"]
)
def test_every_format_shows_the_same_picture(name: str, fingerprint: Hash) -> None:
    """That includes 16 bits, palettes and CMYK: whatever is stored, a screen shows the source."""
    pdq = next(
        signal for signal in fingerprint(encode(SOURCE, name)).signals if signal.type == "pdq"
    )
    expected = fingerprint(encode(SOURCE, "png"))
    assert pdq.quality == 100
    assert bits_apart(pdq.value, by_type(expected)["pdq"]) <= 31


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("name", [name for name in STILL if name not in {"png-16-bit", "heic"}])
def test_signals_equal_those_of_the_reference_hashers(name: str, fingerprint: Hash) -> None:
    """The picture is opened as users of pdqhash and imagehash do; transparency is dropped."""
    encoded = encode(SOURCE, name)
    with Image.open(io.BytesIO(encoded)) as image:
        vector, _ = pdqhash.compute(np.asarray(image.convert("RGB")))
        expected = {
            "pdq": np.packbits(vector.astype(np.uint8)).tobytes().hex(),
            "phash64": str(imagehash.phash(image)),
            "dhash64": str(imagehash.dhash(image)),
            "md5": hashlib.md5(encoded).hexdigest(),
            "sha1": hashlib.sha1(encoded).hexdigest(),
            "sha256": hashlib.sha256(encoded).hexdigest(),
        }
    assert by_type(fingerprint(encoded)) == expected


@pytest.mark.parametrize("name", MOVING)
def test_each_distinct_frame_is_hashed_once(name: str, fingerprint: Hash) -> None:
    """The third frame equals the first; a lossy format may differ slightly."""
    result = fingerprint(encode(SOURCE, name))
    frames = {signal.variant for signal in result.signals if signal.type == "pdq"}
    assert {"frame:0", "frame:1"} <= frames
    if name in {"png-animated", "tiff-pages", "gif-animated"}:
        assert frames == {"frame:0", "frame:1"}
    assert result.skipped == ()


def test_a_palette_with_transparency_does_not_warn(fingerprint: Hash) -> None:
    file = io.BytesIO()
    palette = SOURCE.quantize(32)
    palette.save(file, "PNG", transparency=bytes(range(32)))
    assert fingerprint(file.getvalue()).skipped == ()


def test_a_picture_is_hashed_without_its_exif_orientation(fingerprint: Hash) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = by_type(fingerprint(encode(SOURCE, "jpeg", exif=exif.tobytes())))
    stored = by_type(fingerprint(encode(SOURCE, "jpeg")))
    assert [turned[name] for name in PERCEPTUAL] == [stored[name] for name in PERCEPTUAL]


def test_of_an_icon_the_largest_picture_is_hashed(fingerprint: Hash) -> None:
    file, largest = io.BytesIO(), SOURCE.resize((128, 128))
    largest.save(file, "ICO", sizes=[(16, 16), (128, 128), (48, 48)])
    result = fingerprint(file.getvalue())
    assert (result.kind, result.skipped) == ("image/vnd.microsoft.icon", ())
    expected = by_type(fingerprint(encode(largest, "png")))
    assert [by_type(result)[name] for name in PERCEPTUAL] == [expected[name] for name in PERCEPTUAL]


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "hello")
    return file.getvalue()


OTHERS = {
    "inode/x-empty": b"",
    "text/plain": "Grüße\n".encode() * 4,
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n%%EOF\n",
    "application/zip": zipped(),
    "video/mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(500),
    "video/webm": bytes.fromhex("1a45dfa3934282886d6174726f736b61") + b"webm" + bytes(500),
    "application/octet-stream": bytes(range(200, 256)) * 20,
    "image/svg+xml": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>',
    "image/x-xbitmap": b"#define _H 1\n",
    "application/postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_get_digests_and_skip_picture_hashes(kind: str, fingerprint: Hash) -> None:
    result = fingerprint(OTHERS[kind])
    assert result.kind == kind
    assert [signal.type for signal in result.signals] == list(DIGESTS)
    assert result.skipped == tuple(Skip(name, Reason.OTHER_KIND) for name in PERCEPTUAL)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("image/jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200)),
        ("image/vnd.adobe.photoshop", b"8BPS\0\1" + bytes(200)),
    ],
)
def test_a_picture_without_a_decoder_is_not_another_kind(
    kind: str, content: bytes, fingerprint: Hash
) -> None:
    result = fingerprint(content)
    assert result.kind == kind
    assert {skip.reason for skip in result.skipped} == {Reason.NO_DECODER}


def test_heic_without_the_extra_is_a_picture_without_a_decoder(
    fingerprint: Hash, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = encode(SOURCE, "heic")
    monkeypatch.setitem(
        sys.modules, "pillow_heif", None
    )  # what an import finds if the package is missing
    result = fingerprint(encoded)
    assert result.kind == "image/heic"
    assert result.skipped == tuple(
        Skip(name, Reason.NO_DECODER, "image/heic") for name in PERCEPTUAL
    )


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "bmp"])
def test_a_picture_with_an_archive_behind_it_is_the_picture(name: str, fingerprint: Hash) -> None:
    alone = encode(SOURCE, name)
    result = fingerprint(alone + zipped())
    assert result.kind == KINDS[name]
    assert not result.skipped
    assert by_type(result)["pdq"] == by_type(fingerprint(alone))["pdq"]


def test_two_letters_do_not_make_a_text_a_bitmap(fingerprint: Hash) -> None:
    assert fingerprint(b"BMX is a sport.\n" * 20).kind == "text/plain"


def test_sha256_is_a_signal_only_if_wanted_but_always_the_key(fingerprint: Hash) -> None:
    result = fingerprint(b"bytes", Plan(types=("md5",)))
    assert [signal.type for signal in result.signals] == ["md5"]
    assert result.key == hashlib.sha256(b"bytes").hexdigest()


def test_digests_alone_decode_nothing(fingerprint: Hash) -> None:
    result = fingerprint(encode(SOURCE, "jpeg")[:900], Plan(types=("sha1",)))
    assert (result.kind, result.skipped, result.damaged) == ("image/jpeg", (), False)


def test_orientations_are_variants_of_pdq_and_in_the_recipe(fingerprint: Hash) -> None:
    plan = Plan(types=("pdq", "dhash64"), views=(ViewKind.TURNED,))
    result = fingerprint(encode(SOURCE), plan)
    assert result.recipe[:-1] == ("pdq/1", "dhash64/3", "pdq/1/turned/1")
    assert [signal.variant for signal in result.signals if signal.type == "pdq"] == [
        *["", "rotate90", "rotate180", "rotate270"],
        *["flip", "flop", "transpose", "transverse"],
    ]
    assert sum(signal.type == "dhash64" for signal in result.signals) == 1


def test_a_flat_picture_has_a_pdq_that_is_recorded_and_not_asked(fingerprint: Hash) -> None:
    blank = Image.new("RGB", (300, 200), (90, 90, 90))
    pdq = next(signal for signal in fingerprint(encode(blank)).signals if signal.type == "pdq")
    assert (pdq.quality, pdq.matchable) == (0, False)


def test_an_xbm_is_hashed_and_a_c_header_is_a_text(fingerprint: Hash) -> None:
    file = io.BytesIO()
    SOURCE.convert("1").save(file, "XBM")
    result = fingerprint(file.getvalue())
    assert (result.kind, result.skipped) == ("image/x-xbitmap", ())
    expected = fingerprint(encode(SOURCE, "png-black-and-white"))
    assert bits_apart(by_type(result)["pdq"], by_type(expected)["pdq"]) <= 31

"""Contents that somebody made to hurt: by code alone, harmless to look at, cheap to make.

Most bombs are a small picture whose header promises a large one: that is all it takes, since
the formats compress one colour to nothing.  Each says what may become of its picture hashes;
its digests are always to be had.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from demo.pictures import encode, photo
from hashwacht.core.types import Reason
from support.hostile.hostile_files import (
    bmp,
    circle,
    exif,
    gif,
    icc,
    isobmff,
    itxt,
    jpeg,
    jpeg2000,
    oriented,
    paged_in_a_circle,
    png,
    progressive,
    tiff,
    webp,
)

HASHED = None
"""In *expected*: the picture is shown, and so hashed."""

Fates = frozenset[Reason | None]

TOO_LARGE: Fates = frozenset({Reason.OVER_LIMIT})
TOO_SLOW: Fates = frozenset({Reason.TIMED_OUT})
BROKEN: Fates = frozenset({Reason.DAMAGED})
NO_PICTURE: Fates = frozenset({Reason.OTHER_KIND})
SHOWN: Fates = frozenset({HASHED})
SHOWN_OR_BROKEN = SHOWN | BROKEN


@dataclass(frozen=True, slots=True)
class Hostile:
    """A content: what it is, how it is made, what may become of it (any one of *expected*)."""

    name: str
    make: Callable[[], bytes]
    expected: Fates


def corpus() -> list[Hostile]:
    """Give them all; nothing is made yet."""
    return [*_bombs(), *_sides(), *_metadata(), *_lengths(), *_polyglots(), *_truncated()]


def _bombs() -> Iterator[Hostile]:
    slow_or_large = TOO_SLOW | TOO_LARGE
    yield Hostile("png 13000x13000", lambda: png(13_000, 13_000), TOO_LARGE)
    yield Hostile("png 1x8900000", lambda: png(1, 8_900_000), SHOWN)
    yield Hostile("webp 16383x10000", lambda: webp(16_383, 10_000), TOO_LARGE)
    yield Hostile("avif 12000x12000", lambda: isobmff("avif", 12_000), TOO_LARGE)
    yield Hostile("heic 12000x12000", lambda: isobmff("heic", 12_000), TOO_LARGE)
    yield Hostile("tiff lzw 13000x13000", lambda: tiff(13_000, 13_000), TOO_LARGE)
    yield Hostile("bmp 13000x13000", lambda: bmp(13_000, 13_000), TOO_LARGE)
    yield Hostile("jpeg2000 13000x13000", lambda: jpeg2000(13_000), frozenset({Reason.NO_DECODER}))
    yield Hostile("jpeg 65000x65000", lambda: jpeg(65_000, 65_000), TOO_LARGE)
    yield Hostile("progressive jpeg, 3000 scans", lambda: progressive(7000, 3000), TOO_LARGE)
    yield Hostile("progressive jpeg, 20 scans", lambda: progressive(7000, 15), SHOWN)
    yield Hostile("gif, 20000 frames", lambda: gif(20_000, 64), slow_or_large)
    yield Hostile("gif, 20000 frames of 5000x5000", lambda: gif(20_000, 5000), slow_or_large)
    yield Hostile("gif 65535x65535", lambda: gif(1, 65_535), TOO_LARGE)


def _sides() -> Iterator[Hostile]:
    for width, height in ((65_535, 1), (1, 65_535)):
        yield Hostile(f"jpeg {width}x{height}", _of(jpeg, width, height), SHOWN_OR_BROKEN)
        yield Hostile(f"png {width}x{height}", _of(png, width, height), SHOWN)
        yield Hostile(f"tiff {width}x{height}", _of(tiff, width, height), SHOWN_OR_BROKEN)
    for width, height in ((0, 0), (0, 9), (9, 0)):
        for name, make in (("png", png), ("tiff", tiff), ("bmp", bmp), ("jpeg", jpeg)):
            yield Hostile(f"{name} {width}x{height}", _of(make, width, height), SHOWN_OR_BROKEN)
    for name, make in (("png", png), ("tiff", tiff), ("bmp", bmp)):
        expected = BROKEN | TOO_LARGE
        yield Hostile(f"{name} of 2^31-1", _of(make, 2**31 - 1, 2**31 - 1), expected)
    yield Hostile("png 1x1", lambda: png(1, 1), SHOWN)


def _metadata() -> Iterator[Hostile]:
    bomb = zlib.compress(bytes(200 << 20), 9)
    yield Hostile("png, zTXt of 200 MB", lambda: png(64, 64, (b"zTXt", b"a\0\0" + bomb)), SHOWN)
    yield Hostile("png, iCCP of 200 MB", lambda: png(64, 64, (b"iCCP", b"a\0\0" + bomb)), SHOWN)
    yield Hostile("png, iTXt of 200 MB", lambda: png(64, 64, itxt(bomb)), SHOWN)
    yield Hostile("png, 100000 texts", lambda: png(64, 64, *[(b"tEXt", b"a\0b")] * 100_000), SHOWN)
    yield Hostile("jpeg, 200 EXIFs", lambda: jpeg(64, 64, *[exif(b"x" * 65_000)] * 200), SHOWN)
    yield Hostile("jpeg, 255 parts of ICC", lambda: jpeg(64, 64, *map(icc, range(256))), SHOWN)
    yield Hostile("jpeg, EXIF in a circle", lambda: jpeg(64, 64, exif(circle(8))), SHOWN)
    yield Hostile("jpeg, EXIF of nothing", lambda: jpeg(64, 64, exif(b"")), SHOWN)
    yield Hostile("jpeg, turned 4294967295", lambda: jpeg(64, 64, exif(oriented())), SHOWN)
    yield Hostile("tiff, pages in a circle", paged_in_a_circle, SHOWN | BROKEN | TOO_LARGE)
    yield Hostile("tiff of a circle only", lambda: circle(8), BROKEN)


def _lengths() -> Iterator[Hostile]:
    yield Hostile(
        "png, endless chunk", _patched("png", b"IDAT", -4, b"\x7f\xff\xff\xff"), SHOWN_OR_BROKEN
    )
    yield Hostile(
        "jpeg, long segment", _patched("jpeg", b"\xff\xdb", 2, b"\xff\xff"), SHOWN_OR_BROKEN
    )
    yield Hostile("jpeg, segment of 0", _patched("jpeg", b"\xff\xdb", 2, b"\0\0"), SHOWN_OR_BROKEN)
    yield Hostile("webp, 4 GB", _patched("webp", b"RIFF", 4, b"\xff" * 4), SHOWN_OR_BROKEN)
    yield Hostile("webp, chunk of 4 GB", _patched("webp", b"VP8 ", 4, b"\xff" * 4), SHOWN_OR_BROKEN)
    yield Hostile("avif, meta of 4 GB", _patched("avif", b"meta", -4, b"\xff" * 4), SHOWN_OR_BROKEN)
    yield Hostile("avif, meta of 0", _patched("avif", b"meta", -4, b"\0" * 4), SHOWN_OR_BROKEN)
    yield Hostile("heic, meta of 4 GB", _patched("heic", b"meta", -4, b"\xff" * 4), SHOWN_OR_BROKEN)
    yield Hostile("bmp, pixels far away", _patched("bmp", b"BM", 10, b"\xff" * 4), SHOWN_OR_BROKEN)
    yield Hostile("gif, code size 255", lambda: gif(1, 64, code_size=255), SHOWN_OR_BROKEN)


def _polyglots() -> Iterator[Hostile]:
    archive = b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18)
    yield Hostile("jpeg and zip", lambda: _photo("jpeg") + archive, SHOWN)
    yield Hostile("zip and png", lambda: archive + _photo("png"), NO_PICTURE)
    yield Hostile("gif and script", lambda: b"GIF89a/*" + b"*/=1;alert(1)//", BROKEN)
    yield Hostile("pdf with a jpeg", lambda: b"%PDF-1.4\n" + _photo("jpeg"), NO_PICTURE)
    yield Hostile("html with a png", lambda: b"<html>" + _photo("png"), NO_PICTURE)
    yield Hostile("eps", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run\n", NO_PICTURE)
    yield Hostile("wmf", lambda: b"\xd7\xcd\xc6\x9a" + bytes(99), NO_PICTURE)
    yield Hostile("svg", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', NO_PICTURE)
    yield Hostile("jpeg in jpeg", lambda: _photo("jpeg")[:300] + _photo("jpeg"), SHOWN_OR_BROKEN)
    for name in ("jpeg", "png", "gif", "webp", "tiff", "bmp", "avif", "heic"):
        yield Hostile(
            f"{name}, signature and noise",
            _of(_signature, name),
            SHOWN_OR_BROKEN | TOO_LARGE | NO_PICTURE,
        )


def _truncated() -> Iterator[Hostile]:
    """Cut at every kind of place: in the signature, the header, between, in the pixels, the end."""
    for name in (
        "jpeg",
        "jpeg-progressive",
        "png",
        "gif-animated",
        "webp",
        "tiff-lzw",
        "avif",
        "heic",
    ):
        for share in (0.001, 0.01, 0.05, 0.3, 0.7, 0.99, 1.0):
            yield Hostile(
                f"{name} up to {share:g}", _of(_cut, name, share), SHOWN_OR_BROKEN | NO_PICTURE
            )


def mutations(name: str, count: int, seed: int = 0) -> Iterator[bytes]:
    """Change a valid picture of ENCODERS' *name* at random: bits, bytes, stretches, lengths."""
    chance = random.Random(f"{name} {seed}")
    valid = encode(photo(7, (96, 80)), name)
    for _ in range(count):
        content = bytearray(valid)
        for _ in range(chance.choice((1, 1, 3, 20))):
            _mutate(content, chance)
        yield bytes(content)


def _mutate(content: bytearray, chance: random.Random) -> None:
    """Do one change; half of them near the beginning, where headers are."""
    if not content:
        return
    most = min(len(content), 200) if chance.random() < 0.5 else len(content)
    at = chance.randrange(most)
    end = min(len(content), at + chance.randrange(1, 60))
    match chance.randrange(6):
        case 0:
            content[at] ^= 1 << chance.randrange(8)
        case 1:
            content[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        case 2:
            del content[at:end]
        case 3:
            content[at:at] = content[at:end]
        case 4:
            content[at:end] = chance.randbytes(end - at)
        case _:
            content[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))


def _of(make: Callable[..., bytes], *arguments: object) -> Callable[[], bytes]:
    return lambda: make(*arguments)


def _photo(name: str) -> bytes:
    return encode(photo(3, (128, 96)), name)


def _cut(name: str, share: float) -> bytes:
    whole = _photo(name)
    return whole[: min(max(1, int(len(whole) * share)), len(whole) - 1)]


def _signature(name: str) -> bytes:
    return _photo(name)[:16] + random.Random(name).randbytes(3000)


def _patched(name: str, mark: bytes, offset: int, value: bytes) -> Callable[[], bytes]:
    """Overwrite some bytes at an offset from the first *mark*."""

    def make() -> bytes:
        content = bytearray(_photo(name))
        at = content.index(mark) + offset
        content[at : at + len(value)] = value
        return bytes(content)

    return make

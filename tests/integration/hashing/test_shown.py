"""What a browser shows of a file is one of its views: the browser that is installed decides."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.Image import Transpose

from demo.pictures import photo
from hashwacht.core.views import ViewKind
from hashwacht.hashing import Plan
from hashwacht.hashing.formats import detect_format
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing.views.shown import orientation, shown_views
from hashwacht.hashing.workers.pool import WorkerPool
from support.browser.renderer import Pixels, Renderer, distance, pdq
from support.fingerprints import fingerprint_bytes

PICTURE = photo(3, (320, 240))
NEAR = 10
TURNS = {
    "flop": Transpose.FLIP_LEFT_RIGHT,
    "rotate180": Transpose.ROTATE_180,
    "flip": Transpose.FLIP_TOP_BOTTOM,
    "transpose": Transpose.TRANSPOSE,
    "rotate270": Transpose.ROTATE_270,
    "transverse": Transpose.TRANSVERSE,
    "rotate90": Transpose.ROTATE_90,
}
D50 = (0.9642, 1.0, 0.8249)
SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
"""Red, green and blue as a profile has them, adapted to D50."""


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    check = zlib.crc32(name + body)
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)


def png(image: Image.Image, *chunks: bytes) -> bytes:
    """Encode a PNG with more chunks before its pixels."""
    content = encode(image, "PNG")
    at = content.index(b"IDAT") - 4
    return content[:at] + b"".join(chunks) + content[at:]


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def primaries(*points: int) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *points))


def exif(tag: int, kind: int = 3, count: int = 1) -> bytes:
    """Return EXIF with nothing but an Orientation of this type and count."""
    value = struct.pack(">H2x" if kind == 3 else ">I", tag)
    entry = struct.pack(">HHHI", 1, 0x0112, kind, count) + value
    return b"Exif\0\0MM\0*" + struct.pack(">I", 8) + entry + bytes(4)


def profile(curve: float, red: int = 0, green: int = 1, blue: int = 2) -> bytes:
    """Return an ICC profile of three primaries and one power (ICC.1:2001, 6.3)."""

    def point(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    power = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(curve * 256)) + bytes(2)
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = {b"desc": text, b"wtpt": point(*D50), b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    for name, place in zip((b"r", b"g", b"b"), (red, green, blue), strict=True):
        tags |= {name + b"XYZ": point(*SRGB[place]), name + b"TRC": power}
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        table += struct.pack(">4sII", tag, at + len(body), len(value))
        body += value
    head = struct.pack(
        ">I4sI4s4s4s", at + len(body), bytes(4), 0x02100000, b"mntr", b"RGB ", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + point(*D50)[8:] + bytes(48)
    return head + table + body


def stated(primaries: int, transfer: int, brightest: int = 0) -> bytes:
    """Return a cICP chunk, and a cLLI chunk with the brightest light in candela per m2."""
    light = chunk(b"cLLI", struct.pack(">II", brightest * 10_000, 0)) if brightest else b""
    return chunk(b"cICP", bytes([primaries, transfer, 0, 1])) + light


def stating_profile(primaries: int, transfer: int) -> bytes:
    """Return the profile of sRGB, its tag ``chrm`` replaced by ``cicp``."""
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tag = content.index(b"chrm")
    entry = b"cicp" + struct.pack(">II", len(content), 12)
    changed = content[:tag] + entry + content[tag + len(entry) :]
    changed += b"cicp\0\0\0\0" + bytes([primaries, transfer, 0, 1])
    return struct.pack(">I", len(changed)) + changed[4:]


def nclx(primaries: int, transfer: int) -> bytes:
    """Return an AVIF whose property ``colr`` states these code points."""
    content = encode(PICTURE, "AVIF", quality=95)
    at = content.index(b"colrnclx") + 8
    return content[:at] + struct.pack(">HH", primaries, transfer) + content[at + 4 :]


def coded_only() -> bytes:
    """Return an AVIF that states its code points in the coded picture only."""
    content = encode(PICTURE, "AVIF", quality=95)
    start = content.index(b"\x12\0\n", content.index(b"mdat")) + 4
    length = content[start - 1]
    bits = f"{int.from_bytes(content[start : start + length], 'big'):0{8 * length}b}"
    usual, other = (f"{1:08b}{transfer:08b}{6:08b}" for transfer in (13, 16))
    assert bits.count(usual) == 1
    header = int(bits.replace(usual, other), 2).to_bytes(length, "big")
    stating = content[:start] + header + content[start + length :]
    return stating.replace(b"colrnclx", b"freenclx")


def with_brightness() -> bytes:
    """Return an AVIF for a screen of 4,000 candela per m2: a profile becomes this property."""
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encode(PICTURE, "AVIF", quality=95, icc_profile=usual)
    start, end = content.index(b"colrprof") - 4, content.index(b"colrnclx") - 4
    light = struct.pack(">I4sHH", 12, b"clli", 4000, 0)
    unused = end - start - len(light)
    stating = content[end : end + 12] + struct.pack(">HH", 9, 16) + content[end + 16 : end + 19]
    rest = struct.pack(">I4s", unused, b"free") + bytes(unused - 8)
    return content[:start] + light + stating + rest + content[end + 19 :]


def faded(image: Image.Image) -> Image.Image:
    """Add alpha that rises from left to right."""
    layers = image.convert("RGBA")
    layers.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    return layers


def stencil() -> Image.Image:
    """Return black pixels in which only alpha shows the picture."""
    layers = Image.new("RGBA", PICTURE.size)
    layers.putalpha(PICTURE.convert("L"))
    return layers


def keyed() -> bytes:
    grey = PICTURE.convert("L").point(lambda level: level // 16 * 16)
    return encode(grey, "PNG", transparency=112)


def palette() -> bytes:
    return encode(PICTURE.quantize(64), "PNG", transparency=bytes(range(0, 256, 4)))


def deep() -> bytes:
    levels = (np.asarray(PICTURE.convert("L"), np.uint16) >> 4) << 12
    return png(Image.fromarray(levels), chunk(b"tRNS", struct.pack(">H", 7 << 12)))


ODD = (31270, 32900, 15000, 6000, 64000, 33000, 30000, 60000)
FILES: Mapping[str, Callable[[], bytes]] = {
    **{
        f"JPEG turned by {tag}": lambda tag=tag: encode(PICTURE, "JPEG", exif=exif(tag))  # type: ignore[misc]  # the default binds
        for tag in range(10)
    },
    "Orientation of a wrong type": lambda: encode(PICTURE, "JPEG", exif=exif(6, 4)),
    "two Orientations": lambda: encode(PICTURE, "JPEG", exif=exif(6, 3, 2)),
    "PNG turned": lambda: png(PICTURE, chunk(b"eXIf", exif(6)[6:])),
    "AVIF turned": lambda: encode(PICTURE, "AVIF", exif=exif(6)[6:]),
    "gamma 1": lambda: png(PICTURE, gamma(1.0)),
    "gamma 0.1, grey": lambda: png(PICTURE.convert("L"), gamma(0.1)),
    "gamma 1, but sRGB": lambda: png(PICTURE, gamma(1.0), chunk(b"sRGB", b"\0")),
    "exchanged primaries": lambda: png(PICTURE, gamma(0.45455), primaries(*ODD)),
    "usual profile": lambda: encode(
        PICTURE,
        "JPEG",
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ),
    "linear profile, JPEG": lambda: encode(PICTURE, "JPEG", icc_profile=profile(1.0)),
    "linear profile, grey": lambda: encode(PICTURE.convert("L"), "JPEG", icc_profile=profile(1.0)),
    "linear profile, inks": lambda: encode(
        PICTURE.convert("CMYK"), "JPEG", icc_profile=profile(1.0)
    ),
    "linear profile, AVIF": lambda: encode(PICTURE, "AVIF", icc_profile=profile(1.0)),
    "dark profile and gamma": lambda: png(
        PICTURE, chunk(b"iCCP", b"a\0\0" + zlib.compress(profile(5.0))), gamma(1.0)
    ),
    "profile of exchanged primaries": lambda: encode(
        PICTURE, "WEBP", lossless=True, icc_profile=profile(2.2, 2, 1, 0)
    ),
    "broken profile": lambda: encode(PICTURE, "PNG", icc_profile=b"none" * 50),
    "PQ, PNG": lambda: png(PICTURE, stated(9, 16)),
    "PQ, grey": lambda: png(PICTURE.convert("L"), stated(1, 16)),
    "PQ, bright, PNG": lambda: png(PICTURE, stated(9, 16, 4000)),
    "PQ, dim, PNG": lambda: png(PICTURE, stated(12, 16, 300)),
    "HLG, PNG": lambda: png(PICTURE, stated(9, 18)),
    "linear by cICP": lambda: png(PICTURE, stated(1, 8), gamma(0.1)),
    "primaries of XYZ": lambda: png(PICTURE, stated(10, 16)),
    "usual cICP and gamma 1": lambda: png(PICTURE, stated(1, 13), gamma(1.0)),
    "unspecified cICP and gamma 1": lambda: png(PICTURE, stated(2, 16), gamma(1.0)),
    "late cICP": lambda: png(PICTURE)[:-12] + stated(9, 16) + png(PICTURE)[-12:],
    "PQ, faded": lambda: png(faded(PICTURE), stated(9, 16)),
    "PQ, AVIF": lambda: nclx(9, 16),
    "HLG, AVIF": lambda: nclx(9, 18),
    "linear, AVIF": lambda: nclx(1, 8),
    "video, AVIF": lambda: nclx(1, 1),
    "bright, AVIF": with_brightness,
    "PQ in the coded picture, AVIF": coded_only,
    "PQ by a profile, JPEG": lambda: encode(PICTURE, "JPEG", icc_profile=stating_profile(9, 16)),
    "HLG by a profile, WebP": lambda: encode(PICTURE, "WEBP", icc_profile=stating_profile(9, 18)),
    "stencil, PNG": lambda: encode(stencil(), "PNG"),
    "stencil, WebP": lambda: encode(stencil(), "WEBP", lossless=True),
    "stencil, AVIF": lambda: encode(stencil(), "AVIF", quality=95),
    "faded": lambda: encode(faded(PICTURE), "PNG"),
    "faded, linear profile": lambda: encode(faded(PICTURE), "PNG", icc_profile=profile(1.0)),
    "faded grey": lambda: encode(faded(PICTURE).convert("LA"), "PNG"),
    "transparent grey": keyed,
    "transparent palette": palette,
    "transparent palette, GIF": lambda: encode(PICTURE.quantize(64), "GIF", transparency=3),
    "transparent 16-bit grey": deep,
}


def views(content: bytes) -> list[Pixels]:
    """Return the stored pixels and the views, turned as a browser shows them."""
    picture_format = detect_format(content)
    assert picture_format is not None
    assert picture_format.opener is not None
    image = picture_format.opener(io.BytesIO(content))
    image.load()
    turn = TURNS.get(orientation(image))
    results = [image.convert("RGBA").convert("RGB")] if image.mode != "I;16" else []
    results += [view for _, view in shown_views(image)]
    return [np.asarray(view.transpose(turn) if turn is not None else view) for view in results]


@pytest.mark.parametrize("name", FILES)
def test_what_the_browser_shows_is_a_view(name: str, renderer: Renderer) -> None:
    content = FILES[name]()
    rendering = renderer.render(content)
    assert rendering is not None
    hashes = [pdq(np.ascontiguousarray(view)) for view in views(content)]
    for page in rendering.hashes:
        if page.quality >= 50:
            assert min(distance(page, value) for value in hashes) <= NEAR


def test_an_opaque_picture_has_no_other_view() -> None:
    layers = PICTURE.convert("RGBA")
    assert list(shown_views(layers)) == []
    assert list(shown_views(PICTURE)) == []


def test_workers_see_the_same_views() -> None:
    plan = Plan(("pdq",), views=tuple(ViewKind))
    here = InProcessFingerprinter(plan)
    with WorkerPool(plan, 1) as pool:
        for name, encoded in FILES.items():
            content = encoded()
            assert fingerprint_bytes(pool, content) == fingerprint_bytes(here, content), name

"""Picture files that a browser displays as a known picture, although little of what is stored is.

``variants`` draws files from format x size x orientation x alpha x metadata x damage, seeded.  The
name of a file lists what was drawn, so that misses can be counted by class.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageOps

from support.recall.changes import content_in_alpha, exif, noise_under_alpha, turned, with_alpha
from support.recall.screenshots import Random

Options = dict[str, object]
Alpha = Callable[[Image.Image, Random], Image.Image]


@dataclass(frozen=True, slots=True)
class Variant:
    """A picture file; *name* is ``format/…``, *number* that of the picture it was made of."""

    name: str
    number: int
    content: bytes
    media_type: str = ""

    @property
    def kind(self) -> str:
        """The class of a file: its name without size and angle."""
        parts = (part for part in self.name.split("/") if not part.isdecimal())
        return " ".join("turned" if part.startswith("turned") else part for part in parts)


@dataclass(frozen=True, slots=True)
class Container:
    """How a format is written, and what it can carry."""

    form: str
    mode: str
    options: Mapping[str, object]
    exif: bool = False
    icc: bool = False
    animated: bool = False


def _container(
    form: str,
    mode: str = "RGB",
    *,
    exif: bool = False,
    icc: bool = False,
    animated: bool = False,
    **options: object,
) -> Container:
    return Container(form, mode, options, exif, icc, animated)


CONTAINERS: Mapping[str, Container] = {
    "jpeg": _container("JPEG", quality=85, exif=True, icc=True),
    "jpeg-progressive": _container("JPEG", quality=85, progressive=True, exif=True, icc=True),
    "jpeg-444": _container("JPEG", quality=85, subsampling=0, exif=True, icc=True),
    "jpeg-grey": _container("JPEG", "L", quality=85, exif=True),
    "jpeg-cmyk": _container("JPEG", "CMYK", quality=85, exif=True),
    "png": _container("PNG", compress_level=1, exif=True, icc=True),
    "png-grey": _container("PNG", "L", compress_level=1, exif=True),
    "png-palette": _container("PNG", "P", compress_level=1, exif=True),
    "png-alpha": _container("PNG", "RGBA", compress_level=1, exif=True, icc=True),
    "apng": _container("PNG", "RGBA", compress_level=1, animated=True),
    "webp": _container("WEBP", quality=80, method=0, exif=True, icc=True),
    "webp-alpha": _container("WEBP", "RGBA", quality=90, method=0, exif=True, icc=True),
    "webp-lossless": _container("WEBP", "RGBA", lossless=True, exact=True, method=0, exif=True),
    "webp-animated": _container("WEBP", "RGBA", quality=80, method=0, animated=True),
    "avif": _container("AVIF", quality=80, speed=10, exif=True, icc=True),
    "avif-alpha": _container("AVIF", "RGBA", quality=80, speed=10, exif=True, icc=True),
    "gif": _container("GIF", "P"),
    "gif-animated": _container("GIF", "P", animated=True),
    "bmp": _container("BMP"),
    "ico": _container("ICO", "RGBA"),
    "ico-bmp": _container("ICO", "RGBA", bitmap_format="bmp"),
}

SIDES = (96, 200, 256, 400, 640, 900)
"""Pixels of the long side of a file."""


def _ramp(image: Image.Image, random: Random) -> Image.Image:
    """Make it more transparent towards one side."""
    low = int(random.integers(60, 255))
    ramp = Image.linear_gradient("L").point(lambda value: low + value * (255 - low) // 255)
    return with_alpha(image, ramp.resize(image.size))


def _corners(image: Image.Image, _: Random) -> Image.Image:
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).ellipse((-9, -9, image.width + 9, image.height + 9), 255)
    return with_alpha(image, mask)


def _hidden(image: Image.Image, random: Random) -> Image.Image:
    """Store another scene where the picture is transparent: its light parts, on white."""
    grey = np.asarray(image.convert("L"))
    other = random.integers(0, 255, (6, 6, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(other).resize(image.size, Image.Resampling.BICUBIC))
    light = grey > 200
    pixels = np.where(light[..., None], scene, np.asarray(image))
    return with_alpha(
        Image.fromarray(pixels.astype(np.uint8)),
        Image.fromarray(np.where(light, 0, 255).astype(np.uint8)),
    )


ALPHAS: Mapping[str, Alpha] = {
    "opaque": lambda image, _: image.convert("RGBA"),
    "alpha-is-picture-on-white": lambda image, _: content_in_alpha(image, 255),
    "alpha-is-picture-on-black": lambda image, _: content_in_alpha(image, 0),
    "alpha-over-noise": noise_under_alpha,
    "alpha-hides-another": _hidden,
    "alpha-ramp": _ramp,
    "alpha-ellipse": _corners,
}


def swapped_profile() -> bytes:
    """Return an ICC profile whose red and blue primaries are exchanged."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for index in range(struct.unpack_from(">I", content, 128)[0]):
        at = 132 + 12 * index
        name = bytes(content[at : at + 4])
        if name in {b"rXYZ", b"bXYZ"}:
            content[at : at + 4] = b"bXYZ" if name == b"rXYZ" else b"rXYZ"
    return bytes(content)


def gamma_profile(exponent: float) -> bytes:
    """Return an sRGB-like profile whose curves are a power of *exponent*."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256)) + bytes(2)
    place = len(content)
    for index in range(struct.unpack_from(">I", content, 128)[0]):
        at = 132 + 12 * index
        if bytes(content[at : at + 4]) in {b"rTRC", b"gTRC", b"bTRC"}:
            struct.pack_into(">II", content, at + 4, place, 14)
    content += curve
    struct.pack_into(">I", content, 0, len(content))
    return bytes(content)


def _swapped(image: Image.Image) -> Image.Image:
    """Exchange red and blue."""
    bands = image.split()
    return Image.merge(image.mode, (bands[2], bands[1], bands[0], *bands[3:]))


def _powered(exponent: float) -> Callable[[Image.Image], Image.Image]:
    """Return what makes the colours powers, alpha excepted."""
    table = [round(255 * (value / 255) ** exponent) for value in range(256)]

    def change(image: Image.Image) -> Image.Image:
        return image.point(table * 3 + list(range(256)) * (len(image.getbands()) - 3))

    return change


PROFILES: Mapping[str, tuple[Callable[[Image.Image], Image.Image], Callable[[], bytes]]] = {
    "icc-swapped": (_swapped, swapped_profile),
    "icc-gamma-8": (_powered(2.2 / 8), lambda: gamma_profile(8)),
    "icc-gamma-0.5": (_powered(2.2 / 0.5), lambda: gamma_profile(0.5)),
}
"""Profiles, each with the change of the stored colours that it reverts in a browser."""


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _after_header(content: bytes, chunk: bytes) -> bytes:
    """Insert a chunk behind the header of a PNG."""
    return content[:33] + chunk + content[33:]


def _with_gamma(content: bytes, gamma: float) -> bytes:
    """Insert the exponent that the stored colours were raised to, from linear light."""
    return _after_header(content, _png_chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000))))


def _unknown_chunk(content: bytes, random: Random) -> bytes:
    return _after_header(content, _png_chunk(b"prVt", random.bytes(50)))


def _bad_checksum(content: bytes, random: Random) -> bytes:
    """Add an ancillary chunk whose checksum is wrong."""
    chunk = _png_chunk(b"tEXt", b"Comment\0" + random.bytes(9))
    return _after_header(content, chunk[:-4] + b"\0\0\0\0")


def _comment(content: bytes, random: Random) -> bytes:
    """Insert a comment behind the start of a JPEG."""
    return content[:2] + b"\xff\xfe" + struct.pack(">H", 52) + random.bytes(50) + content[2:]


def _empty_app0(content: bytes, _: Random) -> bytes:
    return content[:2] + b"\xff\xe0\x00\x02" + content[2:]


def _thumbnail(content: bytes, _: Random) -> bytes:
    """Insert an Adobe-like segment that contains a whole other JPEG."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (10, 120, 20)).save(file, "JPEG")
    body = b"Exif\0\0" + file.getvalue()
    return content[:2] + b"\xff\xe5" + struct.pack(">H", len(body) + 2) + body + content[2:]


def _appended(content: bytes, random: Random) -> bytes:
    return content + random.bytes(300)


Edit = Callable[[bytes, Random], bytes]

EDITS: Mapping[str, Mapping[str, Edit]] = {
    "PNG": {
        "unknown-chunk": _unknown_chunk,
        "bad-checksum": _bad_checksum,
        "appended": _appended,
    },
    "JPEG": {
        "comment": _comment,
        "empty-app0": _empty_app0,
        "thumbnail": _thumbnail,
        "appended": _appended,
    },
    "": {"appended": _appended},
}


def _cut(content: bytes, random: Random) -> bytes:
    """Keep most of the file."""
    return content[: int(len(content) * random.uniform(0.5, 0.999))]


def _flipped(content: bytes, random: Random) -> bytes:
    """Change a few bits in the second half."""
    damaged = bytearray(content)
    for at in random.integers(len(content) // 2, len(content), int(random.integers(1, 6))):
        damaged[int(at)] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def _zeroed(content: bytes, random: Random) -> bytes:
    """Overwrite a run of bytes with zeros, as a lost block of a disk does."""
    damaged, size = bytearray(content), len(content) // 50 + 1
    at = int(random.integers(len(content) // 2, len(content) - size))
    damaged[at : at + size] = bytes(size)
    return bytes(damaged)


DAMAGES: Mapping[str, Edit] = {"cut": _cut, "flipped": _flipped, "zeroed": _zeroed}


def variants(pictures: Sequence[Image.Image], count: int, seed: int) -> Iterator[Variant]:
    """Yield *count* files made of *pictures* in turn; the same seed yields the same files."""
    names = list(CONTAINERS)
    for index in range(count):
        random = np.random.default_rng([seed, index])
        number = index % len(pictures)
        name = names[(index // len(pictures) + number) % len(names)]
        parts, content = _write(pictures[number], name, random)
        yield Variant("/".join([name, *parts]), number, content)


def _write(picture: Image.Image, name: str, random: Random) -> tuple[list[str], bytes]:
    container, parts = CONTAINERS[name], []
    side = 256 if container.form == "ICO" else int(random.choice(SIDES))
    image = picture.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    parts.append(str(side))
    options: Options = dict(container.options)
    if container.exif and random.random() < 0.5:
        orientation = int(random.integers(2, 9))
        image, options["exif"] = turned(image, orientation), exif(orientation)
        parts.append(f"turned-{orientation}")
    if container.mode == "RGBA":
        alpha = str(random.choice(list(ALPHAS)))
        image = ALPHAS[alpha](image, random)
        parts.append(alpha)
    gamma = 0.0
    if container.icc and random.random() < 0.2:
        profile = str(random.choice(list(PROFILES)))
        change, build = PROFILES[profile]
        image, options["icc_profile"] = change(image), build()
        parts.append(profile)
    elif container.form == "PNG" and container.icc and random.random() < 0.2:
        gamma = float(random.choice([0.15, 1.0, 2.0]))
        image = _powered(2.2 * gamma)(image)
        parts.append(f"gamma-{gamma:g}")
    content = _encoded(image, container, options)
    if gamma:
        content = _with_gamma(content, gamma)
    if random.random() < 0.3:
        edits = {**EDITS[""], **EDITS.get(container.form, {})}
        edit = str(random.choice(list(edits)))
        content = edits[edit](content, random)
        parts.append(edit)
    if random.random() < 0.25:
        damage = str(random.choice(list(DAMAGES)))
        content = DAMAGES[damage](content, random)
        parts.append(damage)
    return parts, content


def _encoded(image: Image.Image, container: Container, options: Options) -> bytes:
    file = io.BytesIO()
    if container.mode == "P":
        image = image.quantize(128)
    elif image.mode != container.mode:
        image = image.convert(container.mode)
    if container.form == "ICO":
        options["sizes"] = [image.size]
    if container.animated:
        later = ImageOps.invert(image.convert("RGB")).convert(image.mode)
        options.update(save_all=True, append_images=[later], duration=1000)
    image.save(file, container.form, **options)
    return file.getvalue()

"""Harmless generated pictures: the same seed gives the same picture on every machine.

::

    original = photo(seed=7)                      # a Pillow image, 640x480, photograph-like
    as_jpeg = encode(original, "jpeg")            # bytes; any name of ENCODERS works
    smaller = encode(resized(original, 0.5), "webp")
    broken = truncated(as_jpeg, 0.6)              # the first six tenths

Photograph-like means the spectrum of natural scenes, a brightness gradient and a few objects
with edges.  The PDQ quality is 100, and the hashes of two seeds differ in about 128 bits.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_CANVAS = 256
"""Scenes are painted on a square of this many pixels, then resized."""


def photo(seed: int = 0, size: tuple[int, int] = (640, 480)) -> Image:
    """Paint the scene of *seed*, mode RGB; it is the same scene at every *size*."""
    from PIL import Image as Pillow

    random = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(-1, 1, _CANVAS), np.linspace(-1, 1, _CANVAS))
    scene = np.stack([_clouds(random) for _ in range(3)], axis=-1)
    scene = 0.5 * scene + 0.9 * scene.mean(axis=-1, keepdims=True)
    slope = random.uniform(-1, 1, 2)
    scene += (slope[0] * across + slope[1] * down)[:, :, None]
    for _ in range(6):
        centre, radius = random.uniform(-0.9, 0.9, 2), random.uniform(0.1, 0.45)
        stretch, colour = random.uniform(0.5, 2.0), random.normal(0, 1.2, 3)
        inside = (across - centre[0]) ** 2 * stretch + (down - centre[1]) ** 2 < radius**2
        scene[inside] = 0.4 * scene[inside] + colour
    light = 128 + 40 * scene
    canvas = Pillow.fromarray(np.clip(light, 0, 255).astype(np.uint8))
    return canvas.resize(size, Pillow.Resampling.BICUBIC)


def grainy(image: Image, amount: float = 4.0, seed: int = 0) -> Image:
    """Add camera grain, *amount* levels strong, so that files are as large as photographs."""
    from PIL import Image as Pillow

    random = np.random.default_rng(seed)
    pixels = np.asarray(image).astype(np.float32)
    pixels += amount * random.standard_normal(pixels.shape, np.float32)
    return Pillow.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def flat(colour: int = 128, size: tuple[int, int] = (640, 480)) -> Image:
    """Paint a uniform grey picture, without features for a perceptual hash."""
    from PIL import Image as Pillow

    return Pillow.new("RGB", size, (colour, colour, colour))


def resized(image: Image, factor: float) -> Image:
    """Scale both sides by *factor*."""
    from PIL import Image as Pillow

    width, height = image.size
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return image.resize(size, Pillow.Resampling.LANCZOS)


def cropped(image: Image, share: float = 0.05) -> Image:
    """Cut *share* of the length off every side."""
    width, height = image.size
    left, top = round(width * share), round(height * share)
    return image.crop((left, top, width - left, height - top))


def truncated(encoded: bytes, share: float) -> bytes:
    """Keep the first *share* of a file, at least one byte less than all."""
    return encoded[: min(int(len(encoded) * share), len(encoded) - 1)]


def encode(image: Image, name: str = "jpeg", **options: object) -> bytes:
    """Encode as *name*, a key of ENCODERS; *options* go to Pillow (``quality=30``).

    Animations and paged files get three frames: the picture, its mirror image, the picture.
    """
    return ENCODERS[name](image, options)


def animated(frames: Sequence[Image], name: str = "gif", **options: object) -> bytes:
    """Encode *frames* in order as ``gif``, ``webp``, ``png``, ``avif`` or ``tiff``."""
    chosen = {"save_all": True, "append_images": list(frames[1:]), "duration": 100, **options}
    if name == "tiff":
        del chosen["duration"]
    return _saved(frames[0], name.upper(), chosen)


def _clouds(random: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return noise whose amplitude falls with frequency, standard deviation 1."""
    frequency = np.fft.fftfreq(_CANVAS)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = 1.0
    spectrum = np.fft.fft2(random.normal(size=(_CANVAS, _CANVAS))) / radius**1.7
    spectrum[0, 0] = 0.0
    noise = np.fft.ifft2(spectrum).real
    scaled: np.ndarray[tuple[int, int], np.dtype[np.float64]] = noise / noise.std()
    return scaled


def _saved(image: Image, form: str, options: Mapping[str, object]) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


_Options = Mapping[str, object]
_Encoder = Callable[["Image", _Options], bytes]


def _plain(form: str, mode: str = "RGB", **always: object) -> _Encoder:
    """Convert to *mode* and save."""
    return lambda image, options: _saved(image.convert(mode), form, {**always, **options})


def _moving(name: str) -> _Encoder:
    """Save three frames, two of them equal."""

    def encoder(image: Image, options: _Options) -> bytes:
        from PIL import ImageOps

        return animated([image, ImageOps.mirror(image), image], name, **options)

    return encoder


def _deep(image: Image, options: _Options) -> bytes:
    """Save 16-bit grey whose lower eight bits are noise."""
    from PIL import Image as Pillow

    grey = np.asarray(image.convert("L"), np.uint16)
    noise = np.random.default_rng(0).integers(0, 256, grey.shape, dtype=np.uint16)
    return _saved(Pillow.fromarray((grey << 8) | noise), "PNG", options)


def _palette(form: str) -> _Encoder:
    def encoder(image: Image, options: _Options) -> bytes:
        return _saved(image.convert("RGB").quantize(64), form, options)

    return encoder


def _see_through(form: str, **always: object) -> _Encoder:
    """Save with transparency that rises from left to right."""

    def encoder(image: Image, options: _Options) -> bytes:
        from PIL import Image as Pillow

        alpha = Pillow.linear_gradient("L").rotate(90).resize(image.size)
        see_through = image.convert("RGB")
        see_through.putalpha(alpha)
        return _saved(see_through, form, {**always, **options})

    return encoder


def _heic(image: Image, options: _Options) -> bytes:
    """Save as HEIC, which needs the extra ``heic``."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(image.convert("RGB")).save(file, **options)
    return file.getvalue()


ENCODERS: Mapping[str, _Encoder] = {
    "jpeg": _plain("JPEG", quality=90),
    "jpeg-progressive": _plain("JPEG", quality=90, progressive=True),
    "jpeg-grey": _plain("JPEG", "L", quality=90),
    "jpeg-cmyk": _plain("JPEG", "CMYK", quality=90),
    "png": _plain("PNG"),
    "png-grey": _plain("PNG", "L"),
    "png-black-and-white": _plain("PNG", "1"),
    "png-16-bit": _deep,
    "png-palette": _palette("PNG"),
    "png-alpha": _see_through("PNG"),
    "png-animated": _moving("png"),
    "gif": _palette("GIF"),
    "gif-animated": _moving("gif"),
    "webp": _plain("WEBP", quality=90),
    "webp-lossless": _plain("WEBP", lossless=True),
    "webp-alpha": _see_through("WEBP", lossless=True),
    "webp-animated": _moving("webp"),
    "avif": _plain("AVIF", quality=80, speed=9),
    "avif-animated": _moving("avif"),
    "tiff": _plain("TIFF"),
    "tiff-lzw": _plain("TIFF", compression="tiff_lzw"),
    "tiff-pages": _moving("tiff"),
    "bmp": _plain("BMP"),
    "heic": _heic,
}
"""Every kind of picture file that Hashwacht reads, by name."""

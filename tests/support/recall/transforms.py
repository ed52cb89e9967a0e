"""What happens to pictures on their way from one uploader to the next, by name.

Each transform makes a picture file of a picture; the same seed makes the same file.  ``group`` is
the row of the table in docs/recall.md that a transform counts for.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from support.recall.changes import (
    BLACK,
    GREY,
    WHITE,
    Change,
    barred,
    blurred_box,
    bordered,
    boxed,
    caption,
    content_in_alpha,
    cut,
    enhanced,
    exif,
    frame,
    gamma,
    logo,
    noise_under_alpha,
    noisy,
    pair,
    perspective,
    rotated,
    rounded,
    sized,
    sticker,
    text_bar,
    thumbnail,
    toned,
    transparent_margin,
    transposed,
    turned,
    vignette,
    watermark,
)
from support.recall.screenshots import FRAMES, Random

Encode = Callable[[Image.Image], bytes]
Make = Callable[[Image.Image, Random], bytes]


@dataclass(frozen=True, slots=True)
class Transform:
    """A change of a picture and the encoding of the result."""

    name: str
    group: str
    make: Make


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    """Return *image* as a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


jpeg = partial(saved, form="JPEG", quality=85)
png = partial(saved, form="PNG", compress_level=1)


def _encoded(form: str, **options: object) -> Make:
    return lambda image, _: saved(image, form, **options)


def _changed(change: Change, encode: Encode = jpeg) -> Make:
    return lambda image, random: encode(change(image, random))


def _exif_turned(form: str, **options: object) -> Make:
    """Store turned pixels; the orientation makes a browser display the picture upright."""

    def make(image: Image.Image, random: Random) -> bytes:
        orientation = int(random.integers(2, 9))
        return saved(turned(image, orientation), form, exif=exif(orientation), **options)

    return make


_OTHER_CHANGES: dict[str, dict[str, Change]] = {
    "resized": {
        "half the size": sized(0.5),
        "a quarter of the size": sized(0.25),
        "an eighth of the size": sized(0.125),
        "twice the size": sized(2),
        "thumbnail of 128 pixels": thumbnail(128),
        "stretched by 10 %": sized(1.1, 1),
        "squeezed by 25 %": sized(0.75, 1),
    },
    "cropped": {
        "crop 2 %": cut(0.01, 0.01, 0.01, 0.01),
        "crop 5 %": cut(0.025, 0.025, 0.025, 0.025),
        "crop 10 %": cut(0.05, 0.05, 0.05, 0.05),
        "crop 20 %": cut(0.1, 0.1, 0.1, 0.1),
        "crop 5 % at one side": cut(0.05, 0, 0, 0),
        "crop 10 % at one side": cut(0, 0, 0, 0.1),
    },
    "bordered": {
        "border 2 %": bordered(0.02, WHITE),
        "border 5 %": bordered(0.05, WHITE),
        "border 5 %, black": bordered(0.05, BLACK),
        "border 10 %, grey": bordered(0.1, GREY),
        "instant photograph": frame,
    },
    "letterboxed": {
        "letterbox, square, black": boxed(1, BLACK),
        "letterbox, square, white": boxed(1, WHITE),
        "letterbox, 9:16, black": boxed(9 / 16, BLACK),
        "pillarbox, 21:9, black": boxed(21 / 9, BLACK),
        "square, filled with a blurred copy": blurred_box,
    },
    "barred": {
        "bar above": barred(0.15, 0, WHITE, BLACK),
        "bar above, black": barred(0.12, 0, BLACK, WHITE),
        "bar below": barred(0, 0.15, WHITE, BLACK),
        "bars above and below": barred(0.15, 0.15, BLACK, WHITE),
    },
    "written over": {
        "text bar over": text_bar,
        "large letters over": caption,
        "watermark": watermark,
        "logo in a corner": logo,
        "sticker": sticker,
    },
    "filtered": {
        "brighter": enhanced(ImageEnhance.Brightness, 1.3),
        "darker": enhanced(ImageEnhance.Brightness, 0.7),
        "more contrast": enhanced(ImageEnhance.Contrast, 1.5),
        "less contrast": enhanced(ImageEnhance.Contrast, 0.6),
        "more colour": enhanced(ImageEnhance.Color, 2),
        "grey": lambda image, _: image.convert("L"),
        "sepia": toned,
        "blurred": lambda image, _: image.filter(ImageFilter.GaussianBlur(max(image.size) / 300)),
        "sharpened": lambda image, _: image.filter(ImageFilter.UnsharpMask(3, 150)),
        "noise": noisy(20),
        "vignette": vignette,
        "gamma 0.6": gamma(0.6),
        "gamma 1.6": gamma(1.6),
        "posterised": lambda image, _: ImageOps.posterize(image, 3),
        "inverted": lambda image, _: ImageOps.invert(image),
    },
    "rotated by 90°": {
        "rotated by 90°": transposed(Image.Transpose.ROTATE_90),
        "rotated by 180°": transposed(Image.Transpose.ROTATE_180),
        "rotated by 270°": transposed(Image.Transpose.ROTATE_270),
    },
    "mirrored": {
        "mirrored": transposed(Image.Transpose.FLIP_LEFT_RIGHT),
        "flipped": transposed(Image.Transpose.FLIP_TOP_BOTTOM),
        "transposed": transposed(Image.Transpose.TRANSPOSE),
        "transversed": transposed(Image.Transpose.TRANSVERSE),
    },
    "rotated by a few degrees": {
        "rotated by 1°": rotated(1),
        "rotated by 3°": rotated(3),
        "perspective": perspective,
    },
    "combined": {
        "mirrored, border 5 %": lambda image, random: bordered(0.05, WHITE)(
            ImageOps.mirror(image), random
        ),
        "half the size, bar above": lambda image, random: barred(0.15, 0, WHITE, BLACK)(
            sized(0.5)(image, random), random
        ),
        "beside another picture": pair,
    },
}

TRANSFORMS: tuple[Transform, ...] = (
    Transform("JPEG, quality 90", "encoded again", _encoded("JPEG", quality=90)),
    Transform("JPEG, quality 60", "encoded again", _encoded("JPEG", quality=60)),
    Transform("JPEG, quality 30", "encoded again", _encoded("JPEG", quality=30)),
    Transform("JPEG, quality 10", "encoded again", _encoded("JPEG", quality=10)),
    Transform("JPEG, progressive", "encoded again", _encoded("JPEG", progressive=True)),
    Transform("PNG", "encoded again", _changed(lambda image, _: image, png)),
    Transform("WebP, quality 30", "encoded again", _encoded("WEBP", quality=30)),
    Transform("AVIF, quality 50", "encoded again", _encoded("AVIF", quality=50, speed=9)),
    Transform("GIF, 64 colours", "encoded again", lambda i, _: saved(i.quantize(64), "GIF")),
    *(
        Transform(name, group, _changed(change))
        for group, changes in _OTHER_CHANGES.items()
        for name, change in changes.items()
    ),
    Transform("JPEG, turned by EXIF", "turned by EXIF", _exif_turned("JPEG", quality=85)),
    Transform("WebP, turned by EXIF", "turned by EXIF", _exif_turned("WEBP", quality=85)),
    Transform("PNG, turned by EXIF", "turned by EXIF", _exif_turned("PNG", compress_level=1)),
    *(
        Transform(f"screenshot: {name}", "screenshot with frame", _changed(frame, png))
        for name, frame in FRAMES.items()
    ),
    Transform(
        "alpha, on white", "content in alpha", _changed(lambda i, _: content_in_alpha(i, 255), png)
    ),
    Transform(
        "alpha, on black", "content in alpha", _changed(lambda i, _: content_in_alpha(i, 0), png)
    ),
    Transform("alpha over noise", "content in alpha", _changed(noise_under_alpha, png)),
    Transform("rounded corners", "transparent edges", _changed(rounded, png)),
    Transform("transparent margin", "transparent edges", _changed(transparent_margin, png)),
)

"""Changes of a picture: each is a function of the picture and of a random generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from support.recall.screenshots import LIGHT, Colour, Random, text, words

Change = Callable[[Image.Image, Random], Image.Image]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
GREY: Colour = (128, 128, 128)

ORIENTATION = 0x0112
"""The EXIF tag."""


def sized(across: float, down: float | None = None) -> Change:
    def change(image: Image.Image, _: Random) -> Image.Image:
        size = (round(image.width * across), round(image.height * (down or across)))
        return image.resize(size, Image.Resampling.LANCZOS)

    return change


def thumbnail(side: int) -> Change:
    def change(image: Image.Image, _: Random) -> Image.Image:
        small = image.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        return small

    return change


def cut(left: float, top: float, right: float, bottom: float) -> Change:
    def change(image: Image.Image, _: Random) -> Image.Image:
        width, height = image.size
        box = (width * left, height * top, width * (1 - right), height * (1 - bottom))
        return image.crop(tuple(round(side) for side in box))  # type: ignore[arg-type]  # four

    return change


def bordered(share: float, colour: Colour) -> Change:
    """Add a border of *share* of the short side."""
    return lambda image, _: ImageOps.expand(image, round(share * min(image.size)), colour)


def frame(image: Image.Image, random: Random) -> Image.Image:
    """Add the frame of an instant photograph: white all around, most of it below."""
    side = round(0.06 * image.width)
    canvas = Image.new("RGB", (image.width + 2 * side, image.height + 5 * side), LIGHT[2])
    canvas.paste(image, (side, side))
    text(ImageDraw.Draw(canvas), (2 * side, image.height + 2 * side), words(random, 3), side, BLACK)
    return canvas


def boxed(ratio: float, colour: Colour) -> Change:
    """Fit the picture into a canvas of a ratio of width to height."""

    def change(image: Image.Image, _: Random) -> Image.Image:
        width = max(image.width, round(image.height * ratio))
        height = max(image.height, round(width / ratio))
        canvas = Image.new("RGB", (width, height), colour)
        canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
        return canvas

    return change


def blurred_box(image: Image.Image, _: Random) -> Image.Image:
    """Fit the picture into a square filled with its own blurred enlargement, as feeds do."""
    side = max(image.size)
    canvas = ImageOps.fit(image, (side, side)).filter(ImageFilter.GaussianBlur(side / 30))
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas


def barred(above: float, below: float, colour: Colour, ink: Colour) -> Change:
    """Add bars with text, *above* and *below* in shares of the height."""

    def change(image: Image.Image, random: Random) -> Image.Image:
        top, bottom = round(above * image.height), round(below * image.height)
        canvas = Image.new("RGB", (image.width, image.height + top + bottom), colour)
        canvas.paste(image, (0, top))
        draw = ImageDraw.Draw(canvas)
        for start, height in ((0, top), (top + image.height, bottom)):
            if height:
                size = max(8, height // 2)
                text(draw, (size, start + height // 4), words(random, 4), size, ink)
        return canvas

    return change


def text_bar(image: Image.Image, random: Random) -> Image.Image:
    """Cover the lower eighth with an opaque bar of text."""
    result, height = image.copy(), image.height // 8
    draw = ImageDraw.Draw(result)
    draw.rectangle((0, image.height - height, *image.size), BLACK)
    place = (height // 2, image.height - height * 3 // 4)
    text(draw, place, words(random, 4), height // 2, WHITE)
    return result


def caption(image: Image.Image, random: Random) -> Image.Image:
    """Write large letters over the upper part, with an outline."""
    result = image.copy()
    size = image.height // 9
    for step in (-2, 2):
        text(ImageDraw.Draw(result), (size + step, size // 2 + step), words(random, 3), size, BLACK)
    text(ImageDraw.Draw(result), (size, size // 2), words(random, 3), size, WHITE)
    return result


def watermark(image: Image.Image, random: Random) -> Image.Image:
    """Blend rows of slanted, faint text."""
    mark = Image.new("L", (2 * image.width, 2 * image.height), 0)
    draw, size = ImageDraw.Draw(mark), image.height // 12
    for row in range(0, mark.height, size * 3):
        draw.text((0, row), words(random, 12), 255, font_size=size)
    slanted = mark.rotate(30).crop((0, 0, *image.size)).point(lambda value: value // 4)
    return Image.composite(Image.new("RGB", image.size, WHITE), image, slanted)


def logo(image: Image.Image, _: Random) -> Image.Image:
    result, side = image.copy(), min(image.size) // 7
    corner = (image.width - 2 * side, image.height - side * 3 // 2)
    draw = ImageDraw.Draw(result)
    draw.rounded_rectangle((*corner, corner[0] + 2 * side - 8, corner[1] + side), 8, (200, 30, 40))
    text(draw, (corner[0] + 8, corner[1] + side // 4), "LOGO", side // 2, WHITE)
    return result


def sticker(image: Image.Image, random: Random) -> Image.Image:
    """Put a round face on the picture, a quarter of the short side across."""
    result, side = image.copy(), min(image.size) // 4
    x = int(random.integers(0, image.width - side))
    y = int(random.integers(0, image.height - side))
    draw = ImageDraw.Draw(result)
    draw.ellipse((x, y, x + side, y + side), (255, 205, 60))
    for eye in (0.3, 0.6):
        draw.ellipse(
            (x + eye * side, y + 0.3 * side, x + (eye + 0.1) * side, y + 0.45 * side), BLACK
        )
    draw.arc((x + 0.2 * side, y + 0.3 * side, x + 0.8 * side, y + 0.8 * side), 20, 160, BLACK, 6)
    return result


def toned(image: Image.Image, _: Random) -> Image.Image:
    return ImageOps.colorize(image.convert("L"), (40, 26, 13), (255, 240, 210))


def noisy(amount: float) -> Change:
    def change(image: Image.Image, random: Random) -> Image.Image:
        noise = amount * random.standard_normal((image.height, image.width, 3), np.float32)
        return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))

    return change


def vignette(image: Image.Image, _: Random) -> Image.Image:
    mask = (
        ImageOps.invert(Image.radial_gradient("L"))
        .resize(image.size)
        .point(lambda value: min(255, value + 60))
    )
    return Image.composite(image, Image.new("RGB", image.size, BLACK), mask)


def gamma(exponent: float) -> Change:
    table = [round(255 * (value / 255) ** exponent) for value in range(256)] * 3
    return lambda image, _: image.point(table)


def rotated(degrees: float) -> Change:
    """Rotate by a few degrees, as a scanner or an editor does; the corners become black."""
    return lambda image, _: image.rotate(degrees, Image.Resampling.BICUBIC)


def perspective(image: Image.Image, random: Random) -> Image.Image:
    """Move each corner inwards by up to 2 %, as in a photograph of a screen."""
    width, height = image.size
    shift = random.uniform(0, 0.02, (4, 2)) * (width, height)
    corners = (
        (shift[0][0], shift[0][1]),
        (shift[1][0], height - shift[1][1]),
        (width - shift[2][0], height - shift[2][1]),
        (width - shift[3][0], shift[3][1]),
    )
    flat = [float(value) for corner in corners for value in corner]
    return image.transform(image.size, Image.Transform.QUAD, flat, Image.Resampling.BICUBIC)


def transposed(method: Image.Transpose) -> Change:
    return lambda image, _: image.transpose(method)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return the pixels that a browser turns back to *image* because of the EXIF orientation."""
    methods = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return image.transpose(methods[orientation]) if orientation in methods else image


def exif(orientation: int) -> bytes:
    """Return EXIF that contains the orientation alone."""
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes()


def with_alpha(image: Image.Image, alpha: Image.Image) -> Image.Image:
    """Return *image* with *alpha*, mode RGBA."""
    result = image.convert("RGBA")
    result.putalpha(alpha)
    return result


def content_in_alpha(image: Image.Image, ground: int) -> Image.Image:
    """Return flat colour whose alpha channel is the picture on a page of grey value *ground*."""
    grey = image.convert("L")
    alpha = ImageOps.invert(grey) if ground else grey
    return with_alpha(Image.new("RGB", image.size, BLACK if ground else WHITE), alpha)


def noise_under_alpha(image: Image.Image, random: Random) -> Image.Image:
    """Choose the stored colours at random; alpha makes the picture of them on white."""
    grey = np.asarray(image.convert("L"), np.float32)
    ceiling = grey * random.uniform(0, 1, grey.shape).astype(np.float32)
    alpha = (255 - grey) / np.maximum(255 - ceiling, 1) * 255
    colours = Image.fromarray(ceiling.astype(np.uint8)).convert("RGB")
    return with_alpha(colours, Image.fromarray(alpha.clip(0, 255).astype(np.uint8)))


def rounded(image: Image.Image, _: Random) -> Image.Image:
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *image.size), min(image.size) // 8, 255)
    return with_alpha(image, mask)


def transparent_margin(image: Image.Image, _: Random) -> Image.Image:
    margin = min(image.size) // 20
    canvas = Image.new("RGBA", (image.width + 2 * margin, image.height + 2 * margin))
    canvas.paste(image, (margin, margin))
    return canvas


def pair(image: Image.Image, random: Random) -> Image.Image:
    """Place the picture beside another one of half its width."""
    other = Image.fromarray(random.integers(0, 255, (4, 4, 3), dtype=np.uint8))
    canvas = Image.new("RGB", (image.width * 3 // 2, image.height))
    canvas.paste(image, (0, 0))
    canvas.paste(
        other.resize((image.width // 2, image.height), Image.Resampling.BICUBIC), (image.width, 0)
    )
    return canvas


def enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance], factor: float) -> Change:
    return lambda image, _: kind(image).enhance(factor)

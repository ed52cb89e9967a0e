"""Drawings of the kinds that matched by accident: gradients, flags, plots, text, windows."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

DRAWINGS = ("gradient", "flag", "plot", "page", "window", "pattern")
_WORDS = ("quick", "brown", "fox", "jumps", "over", "lazy", "dogs", "while", "files", "wait")


def draw(kind: str, seed: int) -> Image.Image:
    """Return the drawing of *seed*, mode RGB; DRAWINGS lists the kinds."""
    return _PAINTERS[kind](np.random.default_rng(seed))


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = random.integers(0, 256, 3).tolist()
    return red, green, blue


def _size(random: np.random.Generator) -> tuple[int, int]:
    width, height = random.integers(48, 640, 2).tolist()
    return width, height


def _gradient(random: np.random.Generator) -> Image.Image:
    width, height = _size(random)
    slope, centre = random.normal(0, 1, 2), random.uniform(0, 1, 2)
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    linear = slope[0] * across + slope[1] * down
    share = np.hypot(across - centre[0], down - centre[1]) if random.random() < 0.4 else linear
    share = (share - share.min()) / max(float(np.ptp(share)), 1e-9)
    first, last = np.array(_colour(random)), np.array(_colour(random))
    return Image.fromarray((first + share[:, :, None] * (last - first)).astype(np.uint8))


def _flag(random: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", _size(random), _colour(random))
    canvas, (width, height) = ImageDraw.Draw(image), image.size
    parts, upright = int(random.integers(2, 8)), random.random() < 0.5
    for part in range(parts):
        near, far = part / parts, (part + 1) / parts
        box = (
            (near * width, 0, far * width, height)
            if upright
            else (0, near * height, width, far * height)
        )
        canvas.rectangle(box, fill=_colour(random))
    if random.random() < 0.5:
        x, y = random.uniform(0.2, 0.8) * width, random.uniform(0.2, 0.8) * height
        radius = random.uniform(0.05, 0.3) * min(width, height)
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(random))
    return image


def _plot(random: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (480, 360), "white")
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((50, 20, 460, 320), outline="black")
    for _ in range(int(random.integers(1, 4))):
        levels = np.cumsum(random.normal(0, 1, 60))
        levels = 300 - 260 * (levels - levels.min()) / max(float(np.ptp(levels)), 1e-9)
        canvas.line(
            list(zip(np.linspace(55, 455, 60).tolist(), levels.tolist(), strict=True)),
            fill=_colour(random),
            width=2,
        )
    return image


def _page(random: np.random.Generator) -> Image.Image:
    image = Image.new("L", (420, 594), 255)
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    for top in range(40, int(random.integers(120, 550)), 15):
        count = int(random.integers(2, 11))
        canvas.text((40, top), " ".join(random.choice(_WORDS, count)), fill=20, font=font)
    grain = random.normal(0, 4, (594, 420))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)).convert(
        "RGB"
    )


def _window(random: np.random.Generator) -> Image.Image:
    ground = int(random.choice([30, 240]))
    image = Image.new("RGB", (640, 400), (ground, ground, ground))
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    canvas.rectangle((0, 0, 640, 28), fill=_colour(random))
    for _ in range(int(random.integers(4, 16))):
        x, y = int(random.integers(0, 560)), int(random.integers(30, 370))
        width, height = int(random.integers(20, 260)), int(random.integers(12, 90))
        canvas.rectangle((x, y, x + width, y + height), fill=_colour(random), outline="grey")
        canvas.text((x + 4, y + 2), str(random.choice(_WORDS)), fill=_colour(random), font=font)
    return image


def _pattern(random: np.random.Generator) -> Image.Image:
    tile = random.integers(0, 256, (int(random.integers(1, 6)), int(random.integers(1, 6)), 3))
    scale, repeat = int(random.integers(4, 24)), int(random.integers(2, 8))
    levels = np.kron(np.tile(tile, (repeat, repeat, 1)), np.ones((scale, scale, 1)))
    return Image.fromarray(levels.astype(np.uint8))


_PAINTERS = {
    "gradient": _gradient,
    "flag": _flag,
    "plot": _plot,
    "page": _page,
    "window": _window,
    "pattern": _pattern,
}

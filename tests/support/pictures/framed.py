"""Pictures inside others, as people pass them on: with borders, text bars, and as screenshots."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int]
Frame = Callable[[Image.Image, np.random.Generator], Image.Image]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
_BORDERS: tuple[Colour, ...] = (WHITE, BLACK, (128, 128, 128), (200, 30, 30), (20, 30, 60))
_THEMES: tuple[tuple[Colour, Colour, Colour], ...] = (
    (WHITE, BLACK, (246, 246, 246)),
    ((18, 18, 18), (235, 235, 235), (31, 31, 31)),
    ((54, 57, 63), (220, 221, 222), (32, 34, 37)),
    ((236, 229, 221), (10, 10, 10), (250, 250, 250)),
)
"""Ground, ink, and ground of the bars."""

_WORDS = "the quick brown fox jumps over a lazy dog while nobody looks until later this evening"


def _pad(image: Image.Image, sides: tuple[int, int, int, int], colour: Colour) -> Image.Image:
    left, top, right, bottom = sides
    size = (image.width + left + right, image.height + top + bottom)
    framed = Image.new("RGB", size, colour)
    framed.paste(image, (left, top))
    return framed


def _write(draw: ImageDraw.ImageDraw, at: tuple[float, float], ink: Colour, size: float) -> None:
    font = ImageFont.load_default(max(10, round(size)))
    draw.text(at, " ".join(_WORDS.split()[: 2 + int(at[1]) % 4]), ink, font)


def border(share: float) -> Frame:
    """Return a frame with a border of this *share* of the short side."""

    def frame(image: Image.Image, random: np.random.Generator) -> Image.Image:
        width = round(share * min(image.size))
        colour = _BORDERS[random.integers(len(_BORDERS))]
        return _pad(image, (width, width, width, width), colour)

    return frame


def double_border(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Add a thin black line and a white mat around it."""
    del random
    return _pad(_pad(image, (4, 4, 4, 4), BLACK), (30, 30, 30, 30), WHITE)


def letterbox(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Add black above and below, or left and right."""
    bar = round(min(image.size) * random.uniform(0.06, 0.3))
    return _pad(image, (0, bar, 0, bar) if random.random() < 0.5 else (bar, 0, bar, 0), BLACK)


def text_bar(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Add a caption above, and sometimes below as well."""
    bar = round(image.height * random.uniform(0.1, 0.25))
    ground, ink = ((WHITE, BLACK), (BLACK, WHITE))[random.integers(2)]
    below = bar if random.random() < 0.5 else 0
    framed = _pad(image, (0, bar, 0, below), ground)
    draw = ImageDraw.Draw(framed)
    for top in (0, framed.height - bar) if below else (0,):
        _write(draw, (image.width * 0.05, top + bar * 0.3), ink, bar * 0.35)
    return framed


def phone(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Show it in the full width of a phone, between a status bar, a title and text."""
    width = int(random.choice([720, 750, 1080]))
    ground, ink, bar = _THEMES[random.integers(len(_THEMES))]
    screen = Image.new("RGB", (width, width * 2), ground)
    draw, unit = ImageDraw.Draw(screen), width * 0.06
    _status_bar(draw, width, unit, ink)
    draw.rectangle((0, unit, width, 3 * unit), bar)
    _write(draw, (width * 0.1, 1.5 * unit), ink, 0.7 * unit)
    shown = _fitted(image, width, round(width * 1.2))
    top = round(3.5 * unit)
    screen.paste(shown, ((width - shown.width) // 2, top))
    for line in range(6):
        at = top + shown.height + unit * (0.5 + line)
        _write(draw, (width * 0.05, at), ink, 0.5 * unit)
    return screen


def chat(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Show it in a bubble of a chat, with rounded corners, among other messages."""
    width = int(random.choice([720, 750, 1080]))
    ground, ink, bar = _THEMES[random.integers(len(_THEMES))]
    screen = Image.new("RGB", (width, width * 2), ground)
    draw, unit = ImageDraw.Draw(screen), width * 0.06
    draw.rectangle((0, 0, width, 3 * unit), bar)
    _status_bar(draw, width, unit, ink)
    _write(draw, (width * 0.2, 1.5 * unit), ink, 0.6 * unit)
    top = 3.5 * unit
    for _ in range(random.integers(3)):
        draw.rounded_rectangle((0.4 * unit, top, width * 0.6, top + 1.2 * unit), 0.3 * unit, bar)
        _write(draw, (0.8 * unit, top + 0.3 * unit), ink, 0.5 * unit)
        top += 1.6 * unit
    shown, mat = _fitted(image, round(width * 0.75), width), int(random.integers(4, 15))
    left = round(width - shown.width - 0.4 * unit - 2 * mat)
    far = (left + shown.width + 2 * mat - 1, top + shown.height + 2 * mat - 1)
    draw.rounded_rectangle((left, top, *far), 0.3 * unit, bar)
    corners = Image.new("L", shown.size, 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, *shown.size), 0.3 * unit, 255)
    screen.paste(shown, (left + mat, round(top) + mat), corners)
    return screen


def browser_window(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Show it in a page with tabs, an address, a heading, a column of links and a scroll bar."""
    width, height = ((1280, 800), (1366, 768), (1920, 1080))[random.integers(3)]
    ground, ink, bar = _THEMES[random.integers(len(_THEMES))]
    screen = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, 0, width, 78), bar)
    draw.rounded_rectangle((8, 6, 240, 44), 8, ground)
    _write(draw, (20, 12), ink, 14)
    draw.rounded_rectangle((120, 44, width - 160, 72), 14, ground)
    _write(draw, (140, 50), ink, 14)
    left = round(width * 0.2)
    _write(draw, (left, 95), ink, 26)
    for top in range(110, height - 40, 24):
        _write(draw, (width * 0.8, top), ink, 14)
    shown = _fitted(image, round(width * 0.55), height - 200)
    screen.paste(shown, (left, 140))
    _write(draw, (left, 150 + shown.height), ink, 14)
    draw.rectangle((width - 14, 79, width, height), bar)
    return screen


def desktop_window(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Show it in a window with a title, on a desktop with a gradient and a task bar."""
    width, height = 1440, 900
    ramp = np.linspace(40, random.integers(90, 140), height)[:, None, None]
    gradient = np.broadcast_to(ramp * (0.5, 0.8, 1.2), (height, width, 3)).astype(np.uint8)
    screen = Image.fromarray(np.ascontiguousarray(gradient))
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, height - 40, width, height), (30, 30, 34))
    shown, mat = _fitted(image, round(width * 0.7), round(height * 0.7)), int(random.integers(14))
    left, top = (width - shown.width) // 2, 60
    far = (left + shown.width + mat, top + 34 + shown.height + 2 * mat)
    draw.rectangle((left - mat, top, *far), (245, 245, 245))
    _write(draw, (left + 8, top + 8), BLACK, 15)
    screen.paste(shown, (left, top + 34 + mat))
    return screen


def blurred_square(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Fill a square with an enlarged, blurred copy behind it."""
    side = max(image.size)
    ground = image.resize((side, side)).filter(ImageFilter.GaussianBlur(random.uniform(20, 30)))
    ground.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return ground


def _status_bar(draw: ImageDraw.ImageDraw, width: int, height: float, ink: Colour) -> None:
    draw.text((width * 0.05, height * 0.2), "12:45", ink, ImageFont.load_default(height * 0.55))
    draw.rectangle((width * 0.88, height * 0.3, width * 0.94, height * 0.7), outline=ink)


def _fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    scale = min(width / image.width, height / image.height)
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


FRAMES: Mapping[str, Frame] = {
    "border of 2 %": border(0.02),
    "border of 5 %": border(0.05),
    "two borders": double_border,
    "letterbox": letterbox,
    "text bar": text_bar,
    "phone": phone,
    "chat": chat,
    "browser": browser_window,
    "window on a desktop": desktop_window,
    "blurred square": blurred_square,
}

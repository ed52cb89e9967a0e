"""Screenshots of programs that display a picture, drawn without any program.

Every frame has text, buttons and a flat page, in light and dark; sizes and positions vary with the
seed.  The picture is scaled as the program would and saved as PNG, as screenshots are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Random = np.random.Generator
Colour = tuple[int, int, int]

LIGHT: tuple[Colour, ...] = ((255, 255, 255), (242, 242, 247), (250, 250, 250), (230, 230, 230))
DARK: tuple[Colour, ...] = ((0, 0, 0), (18, 18, 18), (28, 28, 30), (32, 33, 36))

_WORDS = [
    "today",
    "shared",
    "photo",
    "from",
    "holiday",
    "album",
    "open",
    "reply",
    "send",
    "message",
    "original",
    "size",
    "view",
    "all",
]


def text(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], words: str, size: int, ink: Colour
) -> None:
    """Write one line."""
    draw.text(at, words, fill=ink, font=ImageFont.load_default(size))


def words(random: Random, count: int) -> str:
    """Return a line of text."""
    return " ".join(random.choice(_WORDS, count))


def _scaled(image: Image.Image, width: int, height: int) -> Image.Image:
    factor = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _status_bar(draw: ImageDraw.ImageDraw, width: int, random: Random, ink: Colour) -> int:
    """Draw clock, signal and battery of a phone; return the height."""
    height = int(width * random.uniform(0.055, 0.085))
    size = height // 2
    clock = f"{random.integers(0, 24):02}:{random.integers(0, 60):02}"
    text(draw, (width // 20, height // 4), clock, size, ink)
    for bar in range(4):
        x = int(width * 0.78) + bar * size // 2
        draw.rectangle(
            (x, height * 3 // 4 - (bar + 1) * size // 4, x + size // 4, height * 3 // 4), ink
        )
    battery = (int(width * 0.9), height // 3, int(width * 0.95), height * 2 // 3)
    draw.rectangle(battery, outline=ink, width=2)
    return height


def phone_gallery(image: Image.Image, random: Random) -> Image.Image:
    """Draw a phone's picture viewer: black, status bar above, buttons below."""
    width = int(random.choice([720, 828, 1080]))
    screen = Image.new("RGB", (width, int(width * random.uniform(1.9, 2.2))), DARK[0])
    draw = ImageDraw.Draw(screen)
    ink = (235, 235, 235)
    _status_bar(draw, width, random, ink)
    shown = _scaled(image, width, int(screen.height * 0.7))
    screen.paste(shown, ((width - shown.width) // 2, (screen.height - shown.height) // 2))
    for index in range(5):
        x, y, size = width * (2 * index + 1) // 10, int(screen.height * 0.955), width // 40
        draw.ellipse((x - size, y - size, x + size, y + size), outline=ink, width=3)
    return screen


def phone_chat(image: Image.Image, random: Random) -> Image.Image:
    """Draw a chat: bubbles of text above and below the picture, an input line at the bottom."""
    dark = bool(random.integers(2))
    ground = (DARK if dark else LIGHT)[int(random.integers(4))]
    ink: Colour = (225, 225, 225) if dark else (30, 30, 30)
    bubble: Colour = (44, 60, 84) if dark else (210, 226, 248)
    width = int(random.choice([720, 828, 1080]))
    screen = Image.new("RGB", (width, int(width * random.uniform(1.9, 2.2))), ground)
    draw = ImageDraw.Draw(screen)
    top = _status_bar(draw, width, random, ink) + width // 30
    size = width // 28
    text(draw, (width // 8, top), words(random, 2), size, ink)
    top += size * 3
    for _ in range(int(random.integers(1, 3))):
        box = (width // 30, top, int(width * random.uniform(0.5, 0.75)), top + size * 3)
        draw.rounded_rectangle(box, size, bubble)
        text(draw, (box[0] + size, top + size), words(random, 4), size, ink)
        top += size * 4
    shown = _scaled(image, int(width * random.uniform(0.62, 0.8)), int(screen.height * 0.5))
    left = width - shown.width - width // 30 if random.integers(2) else width // 30
    screen.paste(shown, (left, top))
    top += shown.height + size
    text(draw, (left, top), words(random, 3), size, ink)
    bottom = (width // 30, screen.height - size * 5, width - width // 30, screen.height - size * 2)
    draw.rounded_rectangle(bottom, size, bubble)
    return screen


def social_feed(image: Image.Image, random: Random) -> Image.Image:
    """Draw a post of a feed: avatar and name above, the picture over the full width, text below."""
    dark = bool(random.integers(2))
    ground = (DARK if dark else LIGHT)[0]
    ink: Colour = (230, 230, 230) if dark else (38, 38, 38)
    width = int(random.choice([720, 828, 1080]))
    size = width // 26
    shown = _scaled(image, width, width * 5 // 4)
    head, foot = size * 7, size * int(random.integers(7, 14))
    screen = Image.new("RGB", (width, head + shown.height + foot), ground)
    draw = ImageDraw.Draw(screen)
    _status_bar(draw, width, random, ink)
    draw.ellipse((size, size * 3, size * 4, size * 6), (120, 90, 160))
    text(draw, (size * 5, size * 4), words(random, 2), size, ink)
    screen.paste(shown, ((width - shown.width) // 2, head))
    top = head + shown.height
    for index in range(3):
        x = size * (1 + 3 * index)
        draw.ellipse((x, top + size, x + 2 * size, top + 3 * size), outline=ink, width=3)
    for line in range(2):
        text(draw, (size, top + size * (4 + 2 * line)), words(random, 6), size, ink)
    return screen


def browser_page(image: Image.Image, random: Random) -> Image.Image:
    """Draw a desktop browser: tabs and address bar, the picture on a page with a column of text."""
    width, height = (1366, 768) if random.integers(2) else (1600, 900)
    ground = LIGHT[int(random.integers(4))]
    screen = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, 0, width, 36), (222, 225, 230))
    draw.rounded_rectangle((8, 6, 240, 40), 8, (255, 255, 255))
    text(draw, (24, 12), words(random, 2), 14, (60, 60, 60))
    draw.rectangle((0, 36, width, 76), (255, 255, 255))
    draw.rounded_rectangle((120, 43, width - 160, 69), 13, (238, 240, 243))
    text(draw, (140, 48), "https://www.example.org/" + words(random, 1), 14, (70, 70, 70))
    shown = _scaled(image, int(width * random.uniform(0.55, 0.66)), height - 130)
    top = 76 + (height - 76 - shown.height) // 2
    left = int(width * 0.3)
    screen.paste(shown, (left, top))
    for line in range(int(random.integers(8, 20))):
        text(draw, (24, 110 + 30 * line), words(random, 4), 15, (70, 70, 70))
    return screen


def image_tab(image: Image.Image, random: Random) -> Image.Image:
    """Draw a browser that displays the picture alone, in the middle of a dark or white page."""
    width, height = (1366, 768) if random.integers(2) else (1920, 1080)
    dark = bool(random.integers(2))
    screen = Image.new("RGB", (width, height), (14, 14, 14) if dark else (255, 255, 255))
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, 0, width, 80), (53, 54, 58) if dark else (222, 225, 230))
    text(draw, (24, 12), words(random, 2), 14, (220, 220, 220) if dark else (60, 60, 60))
    draw.rounded_rectangle(
        (120, 45, width - 160, 72), 13, (32, 33, 36) if dark else (255, 255, 255)
    )
    text(draw, (140, 50), "https://img.example.org/" + words(random, 1), 14, (128, 128, 128))
    shown = _scaled(image, width, height - 80)
    screen.paste(shown, ((width - shown.width) // 2, 80 + (height - 80 - shown.height) // 2))
    return screen


def desktop_viewer(image: Image.Image, random: Random) -> Image.Image:
    """Draw a window on a desktop with a coloured wallpaper and a task bar."""
    width, height = 1440, 900
    ramp = np.linspace(40, 110, height, dtype=np.float32)[:, None, None]
    tint = np.asarray([0.4, random.uniform(0.6, 1.0), 1.2], np.float32)
    wallpaper = np.broadcast_to(ramp * tint, (height, width, 3)).clip(0, 255).astype(np.uint8)
    screen = Image.fromarray(np.ascontiguousarray(wallpaper))
    draw = ImageDraw.Draw(screen)
    draw.rectangle((0, height - 40, width, height), (30, 30, 34))
    text(draw, (width - 80, height - 30), "12:34", 16, (230, 230, 230))
    shown = _scaled(image, int(width * random.uniform(0.6, 0.8)), int(height * 0.72))
    left, top = (width - shown.width) // 2, 60
    pad = int(random.integers(0, 14))
    frame = (left - pad, top, left + shown.width + pad, top + 34 + shown.height + 2 * pad)
    draw.rectangle(frame, (245, 245, 245))
    text(draw, (left + 8, top + 8), words(random, 2) + ".jpg", 15, (40, 40, 40))
    for index, colour in enumerate(((237, 106, 94), (245, 191, 79), (98, 197, 84))):
        x = left + shown.width - 20 - 24 * index
        draw.ellipse((x, top + 10, x + 14, top + 24), colour)
    screen.paste(shown, (left, top + 34 + pad))
    return screen


FRAMES: Mapping[str, Callable[[Image.Image, Random], Image.Image]] = {
    "phone gallery": phone_gallery,
    "chat": phone_chat,
    "social feed": social_feed,
    "web page": browser_page,
    "picture alone in a browser": image_tab,
    "window on a desktop": desktop_viewer,
}

"""One picture in every format, and every variant of a format, that a browser or viewer shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL.Image import Image

from support.pictures.bmp_files import bitmap_variants, icon_variants
from support.pictures.gif_files import gif_variants
from support.pictures.isobmff_files import avif_variants, heif_variants
from support.pictures.jpeg_files import jpeg_variants
from support.pictures.jxl_files import jxl_variants
from support.pictures.png_files import png_variants
from support.pictures.raw_files import raw_variants
from support.pictures.svg_files import svg_variants
from support.pictures.webp_files import webp_variants

FormatVariant = tuple[str, bytes, str]
"""A name, the bytes, and the media type under which a server sends them if that matters."""

_FAMILIES: tuple[Callable[[Image], Iterator[tuple[str, bytes]]], ...] = (
    *(bitmap_variants, icon_variants, jpeg_variants, png_variants, gif_variants),
    *(webp_variants, avif_variants, heif_variants, jxl_variants),
    raw_variants,
)


def format_variants(image: Image, random: np.random.Generator) -> Iterator[FormatVariant]:
    """Yield files of *image*; the same *random* state gives the same files."""
    del random  # no variant needs it so far
    for family in _FAMILIES:
        for name, content in family(image):
            yield name, content, ""
    for name, content in svg_variants(image):
        yield name, content, "image/svg+xml"

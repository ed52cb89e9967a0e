"""One picture in every format, and every variant of a format, that a browser or viewer shows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL.Image import Image

from support.pictures.bmp_files import bitmap_variants, icon_variants

FormatVariant = tuple[str, bytes, str]
"""A name, the bytes, and the media type under which a server sends them if that matters."""


def format_variants(image: Image, random: np.random.Generator) -> Iterator[FormatVariant]:
    """Yield files of *image*; the same *random* state gives the same files."""
    del random  # no variant needs it so far
    for name, content in (*bitmap_variants(image), *icon_variants(image)):
        yield name, content, ""

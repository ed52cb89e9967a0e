"""TIFF files of every kind of pixel that Pillow writes.  No browser shows them."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import ImageCms
from PIL.Image import Image


def tiff_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield TIFF files with names."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    modes = ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr")
    pictures = {mode: picture.convert(mode) for mode in modes}
    pictures |= {mode: picture.convert("L").convert(mode) for mode in ("F", "I", "I;16", "LA")}
    pictures["LAB"] = ImageCms.applyTransform(picture, to_lab) or picture
    for mode, converted in pictures.items():
        yield f"tiff-{mode.lower().replace(';', '-')}", _saved(converted)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd"):
        yield f"tiff-{compression.removeprefix('tiff_')}", _saved(picture, compression)
    yield "tiff-group4", _saved(picture.convert("1"), "group4")


def _saved(picture: Image, compression: str | None = None) -> bytes:
    file = io.BytesIO()
    picture.save(file, "TIFF", compression=compression)
    return file.getvalue()

"""JPEG XL files in the forms that its encoder writes."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import pillow_jxl
from PIL.Image import Image

from demo.pictures import encode

ANIMATION = base64.b64decode(
    "/wrFBANIKC4JCgEAALwAADgAWABYSjhAdUuPDNOBiR7QLJqFz5VQZrr5gHWSC77wQjidzUYfiL8yMwBwsAHgAwWmDwAA"
    "EDQAJAFZTBsAgAqVUcYNXs71fPmhw2LaxnWGttq2AAAAAB7AvxIIpSQq07kxAwAEAEFBUAklNmXM169drj1YkphOIAkY"
    "HAABAABCJGQCCgEAALgAADgAWABYSjhAdUuPDNOBiR7QLJqFz5VQRtk2ld7JN9LBWDicjiSC6ccLMABYB+ADBaYPAACI"
    "BgAkAdFMGgCACpVRxg1ezvV8+aHDYtrGdYa22rawBEKJ6bbIz9w342kAAFAAAQAAVEKJ6eYXPR5dTezIuhDbmgCyAchE"
    "NoKIyZXDwgA="
)
"""Two frames of 32x24 pixels, written by cjxl 0.7: no Python package writes animations."""


def jxl(picture: Image, **options: object) -> bytes:
    """Return a JPEG XL with the encoder's *options*."""
    file = io.BytesIO()
    picture.save(file, "JXL", **options)
    return file.getvalue()


def packed_jpeg(picture: Image, form: str = "jpeg") -> bytes:
    """Return a JPEG, of a form of ``encode``, that is packed without loss."""
    options: dict[str, Any] = {"mode": picture.mode, "quality": 90, "num_threads": 0}
    encoder = pillow_jxl.Encoder(**options)
    return bytes(encoder(encode(picture, form), *picture.size, jpeg_encode=True))


def jxl_variants(picture: Image) -> Iterator[tuple[str, bytes]]:
    """Yield JPEG XL files with names."""
    yield "jxl", jxl(picture)
    yield "jxl-container", jxl(picture, use_container=True)
    yield "jxl-lossless", jxl(picture, lossless=True)
    yield "jxl-grey", jxl(picture.convert("L"))
    yield "jxl-opaque", jxl(picture.convert("RGBA"))
    yield "jxl-original-profile", jxl(picture, use_original_profile=True)
    yield "jxl-odd-sides", jxl(picture.resize((picture.width - 3, picture.height - 5)))
    yield "jxl-packed-jpeg", packed_jpeg(picture)
    yield "jxl-packed-grey-jpeg", packed_jpeg(picture.convert("L"))

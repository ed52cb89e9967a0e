"""The colours that a browser shows, by ICC profiles, code points, and the gamma of a PNG.

Most pictures are sRGB, and the usual wide colours (Display P3, Adobe RGB) change PDQ by at most 10
bits of 256.  They are hashed as stored; only what changes greys or pure colours visibly is
converted, so that photos of phones still need no full decode.

Source: PNG 3, 11.3.2 (cHRM, gAMA, iCCP, sRGB, cICP, and which has precedence).
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hashwacht.hashing.decoders.code_points import (
    CODE_POINTS,
    CodePoints,
    profile_code_points,
)
from hashwacht.hashing.views.hdr import Conversion
from hashwacht.hashing.views.hdr import conversions as code_point_conversions
from hashwacht.hashing.views.light import encoded, mix

if TYPE_CHECKING:
    from PIL.Image import Image

_MODES = {b"RGB ": ("L", "RGB"), b"GRAY": ("L",), b"CMYK": ("CMYK",)}
"""The modes of the images that a profile applies to, by its colour space (ICC.1, 7.2.6)."""

_MAX_PROFILE = 4 << 20
"""Bytes.  Profiles of printers have half of that."""

_VISIBLE_IN_GREYS, _VISIBLE_IN_COLOURS = 4, 16
"""Mean change in levels of grey."""

_GAMMA = 1 / 2.2
_MAX_GAMMA_ERROR = 0.05
_MAX_MIX = 0.3
"""What primaries close to those of sRGB mix into each other, as a share of full light."""


def conversions(image: Image) -> tuple[Conversion, ...]:
    """Return how browsers convert the colours of an opened image; empty if hardly visibly."""
    info = image.info
    mode = image.mode if image.mode in {"L", "CMYK"} else "RGB"
    points = info.get(CODE_POINTS)
    if points:
        return tuple(convert for one in points for convert in _by_code_points(one, mode))
    if "srgb" in info:
        return ()
    profile = info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return _by_profile(profile, mode) if len(profile) <= _MAX_PROFILE else ()
    if "gamma" not in info:  # only PNG has it; a damaged one is an image without a format
        return ()
    convert = _gamma_conversion(float(info["gamma"]), info.get("chromaticity"))
    return () if convert is None else (convert,)


@lru_cache(maxsize=16)
def _by_code_points(points: CodePoints, mode: str) -> tuple[Conversion, ...]:
    return tuple(one for one in code_point_conversions(points) if _is_visible(one, mode))


@lru_cache(maxsize=8)
def _by_profile(profile: bytes, mode: str) -> tuple[Conversion, ...]:
    if mode not in _MODES.get(profile[16:20], ()):
        return ()
    convert = _profile_conversion(profile, mode)
    results = [] if convert is None or not _is_visible(convert, mode) else [convert]
    points = profile_code_points(profile) if profile[16:20] == b"RGB " else None
    return (*results, *(_by_code_points(points, mode) if points else ()))


def _profile_conversion(profile: bytes, mode: str) -> Conversion | None:
    from PIL import ImageCms

    source_mode = "RGB" if profile[16:20] == b"RGB " else mode
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            source_mode,
            "RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None

    def convert(image: Image) -> Image:
        source = image if image.mode == source_mode else image.convert(source_mode)
        return ImageCms.applyTransform(source, transform) or source

    return convert


def _is_visible(convert: Conversion, mode: str) -> bool:
    """Return whether greys or pure colours are shown visibly otherwise than they are stored."""
    from PIL import Image as Pillow

    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    pure = np.eye(3, dtype=np.uint8)[None] * 255
    for levels, visible in (
        (greys, _VISIBLE_IN_GREYS),
        (np.concatenate([pure, 255 - pure], axis=1), _VISIBLE_IN_COLOURS),
    ):
        before = Pillow.fromarray(levels).convert(mode)
        if _change(before, convert(before)) > visible:
            return True
    return False


def _change(before: Image, after: Image) -> float:
    greys = [np.asarray(image.convert("L"), np.int16) for image in (before, after)]
    return float(np.abs(greys[0] - greys[1]).mean())


def _gamma_conversion(gamma: float, chromaticity: object) -> Conversion | None:
    if gamma <= 0:
        return None
    matrix = np.eye(3)
    if isinstance(chromaticity, tuple) and len(chromaticity) == 8:  # noqa: PLR2004 - four points
        matrix = mix(tuple(float(value) for value in chromaticity))
    if abs(gamma - _GAMMA) <= _MAX_GAMMA_ERROR and np.abs(matrix - np.eye(3)).max() <= _MAX_MIX:
        return None

    def convert(image: Image) -> Image:
        light = ((np.arange(256) / 255) ** (1 / gamma)).astype(np.float32)
        mixed = matrix.T.astype(np.float32)
        return encoded(image, lambda levels: light[levels] @ mixed)

    return convert

"""The colours that a browser shows: ICC profiles, and what a PNG states of its primaries and gamma.

Most pictures are sRGB, and the usual wide colours (Display P3, Adobe RGB) change PDQ by at most 10
bits of 256.  They are hashed as stored; only what changes greys or pure colours visibly is
converted, so that photos of phones still need no full decode.

Not converted: the ``cICP`` chunk and the HDR transfers of AVIF, which Pillow does not report.

Source: PNG 3, 11.3.2 (cHRM, gAMA, iCCP, sRGB, and which has precedence); IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

Conversion = Callable[["Image"], "Image"]
"""From an image of mode L, RGB or CMYK to what is shown of it, mode RGB, of the same size."""

Matrix = npt.NDArray[np.float64]

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

_WHITE = (0.3127, 0.3290)
_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)


def conversion(image: Image) -> Conversion | None:
    """Return how a browser converts the colours of an opened image; None if hardly visibly."""
    info = image.info
    if "srgb" in info:
        return None
    profile = info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        mode = image.mode if image.mode in {"L", "CMYK"} else "RGB"
        return _profile_conversion(profile, mode) if len(profile) <= _MAX_PROFILE else None
    if "gamma" not in info:  # only PNG has it; a damaged one is an image without a format
        return None
    return _gamma_conversion(float(info["gamma"]), info.get("chromaticity"))


@lru_cache(maxsize=8)
def _profile_conversion(profile: bytes, mode: str) -> Conversion | None:
    from PIL import Image as Pillow
    from PIL import ImageCms

    if mode not in _MODES.get(profile[16:20], ()):
        return None
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

    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    pure = np.eye(3, dtype=np.uint8)[None] * 255
    for levels, visible in (
        (greys, _VISIBLE_IN_GREYS),
        (np.concatenate([pure, 255 - pure], axis=1), _VISIBLE_IN_COLOURS),
    ):
        before = Pillow.fromarray(levels).convert(mode)
        if _change(before, convert(before)) > visible:
            return convert
    return None


def _change(before: Image, after: Image) -> float:
    greys = [np.asarray(image.convert("L"), np.int16) for image in (before, after)]
    return float(np.abs(greys[0] - greys[1]).mean())


def _gamma_conversion(gamma: float, chromaticity: object) -> Conversion | None:
    if gamma <= 0:
        return None
    mix = np.eye(3)
    if isinstance(chromaticity, tuple) and len(chromaticity) == 8:  # noqa: PLR2004 - four points
        mix = _mix(tuple(float(value) for value in chromaticity))
    if abs(gamma - _GAMMA) <= _MAX_GAMMA_ERROR and np.abs(mix - np.eye(3)).max() <= _MAX_MIX:
        return None

    def convert(image: Image) -> Image:
        from PIL import Image as Pillow

        light = (np.arange(256) / 255) ** (1 / gamma)
        mixed = np.clip(light[np.asarray(image.convert("RGB"))] @ mix.T, 0, 1)
        shown = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055)  # noqa: PLR2004 - as in the standard
        return Pillow.fromarray(np.rint(255 * shown).astype(np.uint8))

    return convert


def _mix(chromaticity: tuple[float, ...]) -> Matrix:
    """Return the matrix from light of these primaries to that of sRGB, equal for white."""
    with np.errstate(all="ignore"):
        try:
            theirs = _light(chromaticity)
        except (np.linalg.LinAlgError, ZeroDivisionError):
            return np.eye(3)
        ours = _light((*_WHITE, *_PRIMARIES))
        mix = np.linalg.inv(ours) @ np.diag(ours.sum(axis=1) / theirs.sum(axis=1)) @ theirs
    return mix if np.isfinite(mix).all() else np.eye(3)


def _light(chromaticity: tuple[float, ...]) -> Matrix:
    """Return the columns X, Y, Z of three primaries whose sum is the white point."""
    points = [
        np.array([x / y, 1, (1 - x - y) / y])
        for x, y in zip(chromaticity[::2], chromaticity[1::2], strict=True)
    ]
    white, *primaries = points
    matrix = np.stack(primaries, axis=1)
    return matrix * np.linalg.solve(matrix, white)

"""Colours that are stated by code points: high dynamic range, and other curves and primaries.

Chromium maps the tones of high dynamic range to those of a usual screen, by the brightest of the
three components: up to 203 candela per square metre it scales, above that a curve leads to the
peak.  Firefox does not map: its white is the largest value that the code has.  Both are yielded.

Sources: ITU-T H.273 (code points), ITU-R BT.2100 (PQ and HLG), BT.2408 (reference white); SMPTE
ST 2094-50 for the curve of Chromium, which ``tests/integration/hashing/test_shown.py`` renders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hashwacht.hashing.decoders.code_points import CodePoints
from hashwacht.hashing.views.light import (
    SRGB,
    WHITE,
    Chromaticities,
    Light,
    encoded,
    mix,
    xyz,
)

if TYPE_CHECKING:
    from PIL.Image import Image

Conversion = Callable[["Image"], "Image"]
"""From an image of mode L, RGB or CMYK to what is shown of it, mode RGB, of the same size."""

Levels = npt.NDArray[np.float64]

PQ, HLG = 16, 18
_MAX_PQ, _HLG_PEAK, _REFERENCE_WHITE = 10_000, 1000, 203
"""Candela per square metre."""

_HLG_GAMMA = 1.2
_KNEE = 0.65
"""Where between its ends the curve of tones is bent (kappa of ST 2094-50)."""

_BT_2020: Chromaticities = (*WHITE, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
_PRIMARIES: Mapping[int, Chromaticities] = MappingProxyType(
    {
        4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
        5: (*WHITE, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
        6: (*WHITE, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
        7: (*WHITE, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
        8: (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
        9: _BT_2020,
        10: (1 / 3, 1 / 3, 1, 0, 0, 1, 0, 0),
        11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
        12: (*WHITE, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
        22: (*WHITE, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
    }
)
"""H.273, table 2; without those of sRGB."""


def conversions(points: CodePoints) -> Iterator[Conversion]:
    """Yield how browsers convert colours with these code points; nothing for those of sRGB."""
    curve = _CURVES.get(points.transfer)
    if curve is None and points.primaries not in _PRIMARIES:
        return
    levels = (curve or _srgb)(np.arange(256) / 255)
    primaries = _PRIMARIES.get(points.primaries, SRGB)
    if points.transfer not in {PQ, HLG}:
        yield _converting(levels, lambda light: light, primaries)
        return
    peak = points.peak or _HLG_PEAK

    def mapped(light: Light) -> Light:
        return _tone_mapped(_displayed(light, points.transfer, primaries), primaries, peak)

    yield _converting(levels, mapped, primaries)
    yield _converting(levels, lambda light: light, primaries)


def _converting(
    levels: Levels, change: Callable[[Light], Light], primaries: Chromaticities
) -> Conversion:
    table, matrix = levels.astype(np.float32), mix(primaries).T.astype(np.float32)

    def convert(image: Image) -> Image:
        return encoded(image, lambda levels: change(table[levels]) @ matrix)

    return convert


def _displayed(light: Light, transfer: int, primaries: Chromaticities) -> Light:
    """Return light in units of the reference white; HLG is that of the scene before."""
    if transfer == PQ:
        return light * np.float32(_MAX_PQ / _REFERENCE_WHITE)
    luminance = light @ xyz(primaries)[1].astype(np.float32)
    gain = np.maximum(luminance, np.float32(1e-6)) ** np.float32(_HLG_GAMMA - 1)
    result: Light = light * (gain * np.float32(_HLG_PEAK / _REFERENCE_WHITE))[..., None]
    return result


def _tone_mapped(light: Light, primaries: Chromaticities, peak: float) -> Light:
    before, after = _tone_curve(peak)
    brightest = (light @ mix(primaries, _BT_2020).T.astype(np.float32)).max(axis=-1)
    brightest = np.maximum(brightest, np.float32(1e-6))
    gain = np.interp(brightest, before, after) / brightest
    result: Light = light * gain[..., None].astype(np.float32)
    return result


def _tone_curve(peak: float) -> tuple[Levels, Levels]:
    """Return points of the curve of the brightest component, before and after."""
    largest = max(peak / _REFERENCE_WHITE, 1.0)
    white = 1 - min(float(np.log2(largest) / np.log2(_HLG_PEAK / _REFERENCE_WHITE)), 1) / 2
    knee = (1 - _KNEE + _KNEE / white, (1 - _KNEE) * white + _KNEE)
    along = np.linspace(0, 1, 33)
    before, after = (
        (1 - along) ** 2 * start + 2 * along * (1 - along) * middle + along**2 * end
        for start, middle, end in zip((1.0, white), knee, (largest, 1.0), strict=True)
    )
    return np.append(0, np.maximum.accumulate(before)), np.append(0, after)


def _power(exponent: float, scale: float = 1) -> Callable[[Levels], Levels]:
    return lambda level: scale * level**exponent


def _srgb(level: Levels) -> Levels:
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004 - as in the standard


def _smpte_240(level: Levels) -> Levels:
    return np.where(level < 0.0913, level / 4, ((level + 0.1115) / 1.1115) ** (1 / 0.45))  # noqa: PLR2004 - as in the standard


def _pq(level: Levels) -> Levels:
    root = level ** (1 / 78.84375)
    share = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return share ** (1 / 0.1593017578125)


def _hlg(level: Levels) -> Levels:
    upper = (np.exp((level - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.where(level <= 0.5, level**2 / 3, upper)  # noqa: PLR2004 - as in the standard


_CURVES: Mapping[int, Callable[[Levels], Levels]] = MappingProxyType(
    {
        **dict.fromkeys((1, 6, 11, 14, 15), _power(2.4)),
        4: _power(2.2),
        5: _power(2.8),
        7: _smpte_240,
        8: _power(1),
        PQ: _pq,
        17: _power(2.6, 52.37 / 48),
        HLG: _hlg,
    }
)
"""H.273, table 3: from levels to linear light; of BT.709 that of its screens (BT.1886)."""

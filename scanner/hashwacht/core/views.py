"""Views: what of a picture was hashed, if not the pixels as they are stored.

A picture that is turned, shown through its transparency, or placed in a frame looks the same to a
person and has another PDQ hash.  So PDQ is computed for several *views* of one decoded picture.
The variant of a signal names its view, in parts joined by ``/``, each of them optional:

=========================  =====================================================================
``frame:12``               a frame of an animation
``embedded:1``             a picture within the file, counted from 0: an SVG, a raw file
``shown``                  as a browser shows it: turned by its EXIF orientation, other colours
``white``, ``black``       blended on a page of that colour
``trim``, ``bars``,        without a uniform border; without bars of text above or below; the
``screen``                 largest picture in a screenshot
``rotate90`` … ``flop``    one of the seven other rotations and reflections
``quick``                  may be a few bits off the exact value
=========================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType

VIEWED_TYPE = "pdq"
"""The signal type with views: the 64-bit hashes would match unrelated pictures in them."""

WHITE, BLACK = "white", "black"
_NUMBERED = MappingProxyType({"frame": "frame", "embedded": "embedded picture"})
TURNS = ("rotate90", "rotate180", "rotate270", "flip", "flop", "transpose", "transverse")


class ViewKind(StrEnum):
    """A kind of view.  The picture as stored has none."""

    SHOWN = "shown"
    """As a browser shows it, also on a white and on a black page."""
    TURNED = "turned"
    """Rotated by a right angle, or mirrored."""
    TRIM = "trim"
    """Without a uniform border."""
    BARS = "bars"
    """Without a bar above or below."""
    SCREEN = "screen"
    """The picture in a screenshot."""


REGION_KINDS = frozenset({ViewKind.TRIM, ViewKind.BARS, ViewKind.SCREEN})

_KIND_OF_PART: Mapping[str, ViewKind] = MappingProxyType(
    {
        **{kind.value: kind for kind in ViewKind},
        **dict.fromkeys((WHITE, BLACK), ViewKind.SHOWN),
        **dict.fromkeys(TURNS, ViewKind.TURNED),
    }
)


_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "shown": "as a browser shows it",
        WHITE: "on a white page",
        BLACK: "on a black page",
        "trim": "without its border",
        "bars": "without the bars above or below it",
        "screen": "cut from its screenshot",
        "rotate90": "rotated by 90 degrees",
        "rotate180": "rotated by 180 degrees",
        "rotate270": "rotated by 270 degrees",
        "flip": "mirrored upside down",
        "flop": "mirrored",
        "transpose": "mirrored and rotated by 90 degrees",
        "transverse": "mirrored and rotated by 270 degrees",
    }
)


@lru_cache(maxsize=4096)
def view_kinds(variant: str) -> frozenset[ViewKind]:
    """Return the kinds of view that a variant combines; empty for the picture as stored."""
    parts = variant.split("/") if variant else ()
    return frozenset(_KIND_OF_PART[part] for part in parts if part in _KIND_OF_PART)


def view_limit(variant: str, radii: Mapping[ViewKind, int]) -> int | None:
    """Return up to how many bits a view may match by *radii*; None if there is no limit."""
    kinds = view_kinds(variant)
    return min((radii[kind] for kind in kinds if kind in radii), default=None)


def describe_variant(variant: str) -> str:
    """Return in words what a variant names: ``without its border, mirrored``."""
    words = (_describe_part(part) for part in variant.split("/"))
    return ", ".join(filter(None, words)) or "as stored"


def _describe_part(part: str) -> str:
    name, _, number = part.partition(":")
    return f"{_NUMBERED[name]} {number}" if name in _NUMBERED else _WORDS.get(part, "")


def without_turn(variant: str) -> str:
    """Return a variant without the name of its orientation."""
    return join_variant(*(part for part in variant.split("/") if part not in TURNS))


def join_variant(*parts: str) -> str:
    """Return the variant with these parts, empty ones left out."""
    return "/".join(filter(None, parts))

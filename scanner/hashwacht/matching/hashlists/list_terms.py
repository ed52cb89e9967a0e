"""What an import says of a list as a whole, and what holds if it says nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.list_formats import MAX_CATEGORY
from hashwacht.matching.hashlists.list_manifest import TypeIndex
from hashwacht.core.ports import SignalType
from hashwacht.core.types import CSAM

DEFAULT_RADII: Mapping[str, int] = {"pdq": 31, "phash64": 4, "dhash64": 4}
"""Up to which Hamming distance a perceptual hash matches, unless a list says otherwise.

PDQ: Meta's confident-match threshold.  64 bits: by chance alone, a radius of 8 would match one in
3,600 unrelated pictures against a million entries (the 5.1e9 values within 8 bits are 2.8e-10 of
all), a radius of 4 one in 27 million.  Types not named here match when equal.
"""

KNOWN_GOOD = "known-good"
"""The category of a known-good list that names none."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WIDEST = 4
"""A radius may be at most the bits divided by this: beyond, unrelated pictures match."""


@dataclass(frozen=True, slots=True)
class ListTerms:
    """What an import says of a list as a whole; what is left out takes its default.

    *radii* maps perceptual signal types to a radius in bits; the default is 0 for known-good
    lists (they excuse one picture, not its neighbours), else :data:`DEFAULT_RADII`.
    """

    name: str
    category: str = ""
    known_good: bool = False
    radii: Mapping[str, int] = field(default_factory=dict)
    source: str = ""


def category(terms: ListTerms) -> str:
    """Give the category of entries that have none of their own."""
    return terms.category or (KNOWN_GOOD if terms.known_good else CSAM)


def radii(terms: ListTerms) -> Mapping[str, int]:
    """Give the radius of every perceptual type that has one."""
    return {**({} if terms.known_good else DEFAULT_RADII), **terms.radii}


def check_terms(terms: ListTerms, types: Mapping[str, SignalType]) -> None:
    """Raise ListError if a name, a text or a radius cannot be."""
    if not _NAME.fullmatch(terms.name):
        raise ListError(
            f"{terms.name!r} is no name for a list",
            advice="Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    if not terms.category.isprintable() or len(terms.category) > MAX_CATEGORY:
        raise ListError(
            "that is no category", advice=f"Use up to {MAX_CATEGORY} printable characters."
        )
    for name, radius in terms.radii.items():
        if (known := types.get(name)) is None:
            raise ListError(
                f"unknown signal type {name!r}", advice="Use one of " + ", ".join(sorted(types))
            )
        check_radius(name, known, radius)


def check_radius(name: str, signal_type: SignalType | TypeIndex, radius: int) -> None:
    """Raise ListError if values of this type cannot match at this distance."""
    widest = signal_type.bits // _WIDEST if signal_type.perceptual else 0
    if not 0 <= radius <= widest:
        advice = f"Use 0 to {widest}: beyond, unrelated pictures match."
        if not signal_type.perceptual:
            advice = "Use 0: it is a digest, only equal values match."
        raise ListError(f"{radius} is no radius for {name}", advice=advice)

"""False matches: how many pictures match a list of pictures that have nothing in common with them.

A package holds many forms of one motif, so pictures of the package of a listed one do not count,
nor do those that show the same: judged by thumbnails in colour, in all orientations, and for the
64-bit hashes also by a PDQ distance that unrelated pictures do not have.
"""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hashwacht.core.types import Fingerprint, Match, Signal
from hashwacht.core.views import REGION_KINDS, ViewKind, view_kinds
from hashwacht.matching.hashlists.import_result import ImportHandling
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import ListMetadata
from hashwacht.matching.hashlists.matcher import HashListMatcher
from hashwacht.matching.matcher_set import ConfiguredMatcher
from hashwacht.settings.matchers import HashlistSettings
from recall.corpus import HashedPicture, corpus
from recall.report import Row, at_most, table

LISTED = 1200
RADII = (16, 20, 24, 28, 31, 36, 40, 44, 48)
KINDS = ("stored", *ViewKind)

_MAX_THUMBNAIL_DIFFERENCE = 16
_MIN_CORRELATION = 0.9
_SAME_MOTIF = 64
"""PDQ bits; unrelated pictures are 128 apart, give or take 8."""

Words = npt.NDArray[np.uint64]
Levels = npt.NDArray[np.float32]


def measure(build: Path) -> Mapping[str, Any]:
    """Return the false matches at the defaults, and those of PDQ by radius and kind of view."""
    return compare_all(corpus(build))


def compare_all(
    pictures: Sequence[HashedPicture],
    count: int = LISTED,
    handling: ImportHandling = ImportHandling(),  # noqa: B008  # frozen
) -> Mapping[str, Any]:
    """Look up all pictures but the first *count* in a list of these."""
    listed, others = pictures[:count], pictures[count:]
    with tempfile.TemporaryDirectory() as directory:
        lists = HashLists(Path(directory) / "lists")
        source = io.BytesIO("".join(_entries(listed)).encode())
        lists.import_list(source, ListMetadata("listed"), handling=handling)
        left_out = dict(lists.get("listed").ubiquitous)
        pairs = list(_false_pairs(listed, others, lists.directory))
    return {
        "listed": len(listed),
        "others": len(others),
        "left out": left_out,
        "by type": Counter(match.signal.type for _, _, match in pairs),
        "pairs": [
            f"{match.signal} {match.distance} {one.name} {other.name}"
            for one, other, match in pairs
        ],
        "pdq": _curve(listed, others),
    }


def _entries(listed: Sequence[HashedPicture]) -> Iterator[str]:
    yield "type,value,id,quality\n"
    for number, picture in enumerate(listed):
        for signal in picture.signals:
            if not view_kinds(signal.variant):
                quality = signal.quality if signal.type == "pdq" else ""
                yield f"{signal.type},{signal.value},{number},{quality}\n"


def _false_pairs(
    listed: Sequence[HashedPicture], others: Sequence[HashedPicture], directory: Path
) -> Iterator[tuple[HashedPicture, HashedPicture, Match]]:
    """Yield the pairs that match at the defaults and show different things, each once."""
    radii = {ViewKind(kind): radius for kind, radius in HashlistSettings("lists").views}
    matcher = ConfiguredMatcher(
        HashListMatcher(directory, view_radii=radii), views=frozenset(radii)
    )
    for picture in others:
        query = matcher.query(Fingerprint("", 0, "image/png", (), picture.signals))
        (answer,) = matcher.lookup([query]) if query else [None]
        best: dict[str, Match] = {}
        for match in answer.matches if answer else ():
            best.setdefault(match.id, match)
        for number, match in best.items():
            entry = listed[int(number)]
            if not is_related(entry, picture, by_pdq=match.signal.type != "pdq"):
                yield entry, picture, match


def is_related(one: HashedPicture, other: HashedPicture, *, by_pdq: bool) -> bool:
    """Return whether two pictures are of one family or show the same."""
    if one.family == other.family:
        return True
    first, second = _levels(one), _levels(other)
    turned = [np.rot90(side, turns) for side in (second, second[:, ::-1]) for turns in range(4)]
    if any(_is_same(first, levels) for levels in turned):
        return True
    hashes = [[s.value for s in picture.signals if s.type == "pdq"] for picture in (one, other)]
    return by_pdq and any(
        (int(value, 16) ^ int(hashes[0][0], 16)).bit_count() <= _SAME_MOTIF for value in hashes[1]
    )


def _levels(picture: HashedPicture) -> Levels:
    return np.frombuffer(picture.thumbnail, np.uint8).reshape(16, 16, 3).astype(np.float32)


def _is_same(one: Levels, other: Levels) -> bool:
    if np.abs(one - other).mean() <= _MAX_THUMBNAIL_DIFFERENCE:
        return True
    first, second = one - one.mean(), other - other.mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum())) + 1
    return float((first * second).sum()) / size >= _MIN_CORRELATION


def _curve(
    listed: Sequence[HashedPicture], others: Sequence[HashedPicture]
) -> Mapping[str, Mapping[str, int]]:
    """Return by kind of view and radius how many pairs PDQ would match falsely."""
    reliable = [(picture, _stored(picture)) for picture in listed if _stored(picture)]
    words = np.array([_words(signal) for _, signal in reliable if signal], np.uint64)
    nearest: dict[str, dict[tuple[int, int], int]] = {kind: {} for kind in KINDS}
    for place, picture in enumerate(others):
        for signal in picture.signals:
            if signal.type != "pdq" or not signal.reliable:
                continue
            distances = np.bitwise_count(words ^ _words(signal)).sum(1)
            for number in np.flatnonzero(distances <= RADII[-1]).tolist():
                if not is_related(reliable[number][0], picture, by_pdq=False):
                    pairs = nearest[_kind(signal)]
                    key, distance = (place, number), int(distances[number])
                    pairs[key] = min(distance, pairs.get(key, distance))
    return {
        kind: {str(r): sum(distance <= r for distance in pairs.values()) for r in RADII}
        for kind, pairs in nearest.items()
    }


def _stored(picture: HashedPicture) -> Signal | None:
    hashes = (s for s in picture.signals if s.type == "pdq" and not view_kinds(s.variant))
    return next((signal for signal in hashes if signal.reliable), None)


def _words(signal: Signal) -> Words:
    return np.frombuffer(bytes.fromhex(signal.value), np.uint64)


def _kind(signal: Signal) -> str:
    """Return the kind of view with the smallest radius that a signal combines."""
    kinds = view_kinds(signal.variant)
    regions = sorted(kinds & REGION_KINDS)
    return regions[0] if regions else min(kinds, default="stored", key=list(ViewKind).index)


def rows(result: Mapping[str, Any]) -> list[Row]:
    """Return the rows of the table of targets."""
    by_type = result.get("by type")
    total = None if by_type is None else sum(by_type.values())
    pdq = None if by_type is None else by_type.get("pdq", 0)
    return [
        at_most("false matches by PDQ, all views", "0 of 250 x 34,000", pdq, 0),
        at_most("false matches in all", "58 of 250 x 34,000", total, 2),
    ]


def describe(result: Mapping[str, Any]) -> str:
    """Return the table of radii as Markdown."""
    pairs = ", ".join(f"{kind} {number}" for kind, number in result["by type"].items()) or "none"
    heads = ("PDQ by view", *(f"≤ {radius}" for radius in RADII))
    lines = [(kind, *map(str, counts.values())) for kind, counts in result["pdq"].items()]
    return (
        f"{result['listed']:,} listed pictures, {result['others']:,} others; false matches at the"
        f" defaults: {pairs}. By the radius of PDQ:\n\n{table(heads, lines)}"
    )

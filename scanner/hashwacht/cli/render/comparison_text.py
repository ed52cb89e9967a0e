"""Distances between pictures as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import escape_text, plural
from hashwacht.core.types import Fingerprint
from hashwacht.core.views import describe_variant, without_turn
from hashwacht.matching.comparison import HashDistance
from hashwacht.matching.hashlists.manager import NearEntry


def comparison_lines(
    paths: Sequence[bytes], fingerprints: Sequence[Fingerprint], distances: Sequence[HashDistance]
) -> Iterator[str]:
    """Yield what decides, then the nearest hash of each type and view."""
    listed, found = fingerprints
    yield f"listed  {escape_path(paths[0])}"
    yield f"found   {escape_path(paths[1])}"
    for fingerprint, path in zip(fingerprints, paths, strict=True):
        for skip in fingerprint.skipped:
            detail = f": {skip.detail}" if skip.detail else ""
            yield escape_text(f"no {skip.type} of {escape_path(path)} ({skip.reason}{detail})")
    yield _conclusion(listed, found, distances)
    for distance in nearest_of_each_view(distances):
        yield _line(distance)


def _conclusion(listed: Fingerprint, found: Fingerprint, distances: Sequence[HashDistance]) -> str:
    if listed.key == found.key:
        return "match   the files are equal, byte for byte"
    if distances and distances[0].matches:
        best = distances[0]
        return (
            f"match   {best.signal.type} decides: the found picture, {_view(best)}, is"
            f" {plural(best.distance, 'bit')} off, at most {best.limit} are allowed"
        )
    return "no match by any hash: a list that contains the first picture does not find the second"


def nearest_of_each_view(distances: Iterable[HashDistance]) -> Iterator[HashDistance]:
    """Yield the nearest hash of each type and view, of all orientations the nearest one."""
    nearest: dict[tuple[str, str], HashDistance] = {}
    for distance in sorted(distances, key=lambda item: item.distance):
        signal = distance.signal
        nearest.setdefault((signal.type, without_turn(signal.variant)), distance)
    yield from nearest.values()


def _line(distance: HashDistance) -> str:
    bits = "equal" if distance.distance == 0 else plural(distance.distance, "bit") + " off"
    return f"  {distance.signal.type:8}  {bits:13}  {limit_text(distance):22}  {_view(distance)}"


def limit_text(distance: HashDistance) -> str:
    """Return whether a hash matches, and up to which distance it would."""
    signal = distance.signal
    if not signal.matchable:
        return f"quality {signal.quality}: not asked"
    if not signal.reliable and distance.distance:
        return f"quality {signal.quality}: only if equal"
    if distance.limit is None:
        return "view not asked"
    verdict = "matches" if distance.matches else "does not"
    return f"{verdict}, up to {distance.limit}"


def _view(distance: HashDistance) -> str:
    return describe_variant(distance.signal.variant)


def entry_line(entry: NearEntry) -> str:
    """Return the line of an entry of a list that is near a picture."""
    return f"{_line(entry.hash)}  {entry.category}" + f" #{entry.id}" * bool(entry.id)


def entry_fields(entry: NearEntry) -> dict[str, object]:
    """Return the JSON fields of such an entry; never its value."""
    return {"id": entry.id, "category": entry.category, **distance_fields(entry.hash)}


def comparison_fields(
    paths: Sequence[bytes], fingerprints: Sequence[Fingerprint], distances: Sequence[HashDistance]
) -> dict[str, object]:
    """Return the fields of the JSON object; no hash value."""
    decides = distances[0] if distances and distances[0].matches else None
    equal = fingerprints[0].key == fingerprints[1].key
    return {
        "listed": to_json(paths[0]),
        "found": to_json(paths[1]),
        "equal": equal,
        "match": equal or decides is not None,
        "decides": None if decides is None else distance_fields(decides),
        "distances": [distance_fields(distance) for distance in distances],
    }


def distance_fields(distance: HashDistance) -> dict[str, object]:
    """Return the JSON fields of one distance."""
    signal = distance.signal
    return {
        "type": signal.type,
        "view": signal.variant,
        "quality": signal.quality,
        "distance": distance.distance,
        "limit": distance.limit,
        "matches": distance.matches,
    }

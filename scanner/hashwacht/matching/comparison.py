"""How near the hashes of a picture are to those of a listed one, by view.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hashwacht.core.hash64 import distance_limit
from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Fingerprint, Signal
from hashwacht.core.views import VIEWED_TYPE, ViewKind, view_kinds, view_limit


@dataclass(frozen=True, slots=True)
class HashDistance:
    """How far a *signal* is from the listed picture, in bits.

    *limit* is the distance up to which it matches; None if this view is not looked up.
    """

    signal: Signal
    distance: int
    limit: int | None

    @property
    def matches(self) -> bool:
        """Whether a list that contains the other picture matches."""
        return self.limit is not None and self.signal.matchable and self.distance <= self.limit


def radius_for(signal: Signal, radius: int, view_radii: Mapping[ViewKind, int]) -> int | None:
    """Return up to how many bits a signal matches a list of *radius*; None if it is not asked."""
    if (limit := distance_limit(signal)) is not None:
        return min(radius, limit)
    if signal.type != VIEWED_TYPE:
        return radius
    if not view_kinds(signal.variant) <= view_radii.keys():
        return None
    limit = view_limit(signal.variant, view_radii)
    return radius if limit is None else min(radius, limit)


def compare(
    listed: Fingerprint,
    found: Fingerprint,
    radii: Mapping[str, int],
    view_radii: Mapping[ViewKind, int],
) -> list[HashDistance]:
    """Return the distance of every picture hash of *found* from *listed*, those that match first.

    Lists contain pictures as they are stored, so only such hashes of *listed* count; of an
    animation the nearest frame does.  *radii* are those of a list by signal type.
    """
    distances = list(_distances(listed, found, radii, view_radii))
    return sorted(distances, key=lambda item: (not item.matches, item.distance))


def _distances(
    listed: Fingerprint,
    found: Fingerprint,
    radii: Mapping[str, int],
    view_radii: Mapping[ViewKind, int],
) -> Iterator[HashDistance]:
    for signal in found.signals:
        signal_type = BUILT_IN.get(signal.type)
        values = [
            entry.value
            for entry in listed.signals
            if entry.type == signal.type and entry.matchable and not view_kinds(entry.variant)
        ]
        if signal_type is not None and signal_type.perceptual and values:
            distance = min(signal_type.distance(signal.value, value) for value in values)
            limit = radius_for(signal, radii.get(signal.type, 0), view_radii)
            yield HashDistance(signal, distance, limit)

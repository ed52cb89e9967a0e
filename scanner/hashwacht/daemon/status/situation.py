"""What the state knows of how things stand: readable whether the daemon lives or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hashwacht.core.watch_events import Lane
from hashwacht.storage.alert_rows import Delivery
from hashwacht.audit.log import AuditLog, Checkpoint
from hashwacht.storage.cases import CaseState
from hashwacht.storage.action_limits import Flood
from hashwacht.storage.gaps import Gap
from hashwacht.storage.reports import Pile
from hashwacht.storage.locations import PlaceState
from hashwacht.storage.store import Store

MOST_FLOODS = 100


@dataclass(frozen=True, slots=True)
class Situation:
    """Figures of one moment.  Times are Unix seconds, None where there is nothing.

    *lanes*: what waits to be looked at.  *unanswered*: contents that wait for a matcher,
    *undetermined*: all contents of which nobody can say anything.  *watched* and *walked* say of
    each root when it was last known to be watched, and last wholly compared with the state.
    """

    lanes: Mapping[Lane, Pile]
    unanswered: Pile
    undetermined: Pile
    gaps: tuple[Gap, ...]
    watched: Mapping[str, float]
    walked: Mapping[str, float | None]
    cases: Mapping[CaseState, int]
    places: Mapping[PlaceState, int]
    floods: tuple[Flood, ...]
    alerts: tuple[Delivery, ...]
    audit: Checkpoint


def situation(
    store: Store, audit: AuditLog, roots: Sequence[str], channels: Sequence[str]
) -> Situation:
    """Read how things stand for the configured roots and channels.  Raises StateError."""
    depth, oldest = store.journal.depth(), store.journal.oldest()
    return Situation(
        lanes={lane: Pile(depth[lane], oldest[lane]) for lane in Lane},
        unanswered=store.overview.unanswered(),
        undetermined=store.overview.undetermined(),
        gaps=tuple(store.gaps.list_open()),
        watched={name: each.at for name, each in store.gaps.watched().items()},
        walked={name: store.gaps.last_walk(name) for name in roots},
        cases=store.cases.counts(),
        places=store.overview.places(),
        floods=tuple(store.floods.latest(MOST_FLOODS)),
        alerts=tuple(store.alerts.standing(channel) for channel in channels),
        audit=audit.head(),
    )

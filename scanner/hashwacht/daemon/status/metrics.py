"""Everything that ``status`` knows as metrics: drawn up when somebody asks, never kept.

Labels have few values: configured names, and words of ours.  No path, no hash, no account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from hashwacht import __version__
from hashwacht.core.types import Action, Outcome
from hashwacht.daemon.scanner.counters import BOUNDS, CounterValues, LatencyHistogram
from hashwacht.daemon.status.assess import Protection, StorageStatus
from hashwacht.daemon.status.health import Health
from hashwacht.daemon.status.status import Status, lane_name
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import LocationState
from hashwacht.storage.reports import Backlog

Values = Mapping[str, float]
"""A value for each value of the only label."""


def render_metrics(status: Callable[[], Status]) -> bytes:
    """Write them in Prometheus's text format, as of now, without time stamps."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Drawn(status))
    return generate_latest(registry)


class _Drawn(Collector):
    """Draws the metrics up from a status."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """Give every metric."""
        status = self._status()
        yield _gauge("build", "Which release this is.", {__version__: 1}, "version", "_info")
        held = {each.value: float(each is status.protection) for each in Protection}
        yield _gauge("protection", "1 for how this machine is protected.", held, "state")
        if status.courier is not None:
            yield _number("courier_up", "1 if it is in reach.", not status.courier)
        if status.health is not None:
            yield from _living(status.health, alive=status.alive)
            yield from _counted(status.health.counts)
        if status.storage is not None:
            yield from _waiting(status.storage, status.at)
            yield from _roots(status, status.storage)
            yield from _cases(status.storage)
            yield from _alerts(status.storage)


def _living(health: Health, *, alive: bool) -> Iterator[Metric]:
    """Give what only the living process knows."""
    yield _number("scanner_up", "1 if the scanner has said something lately.", alive)
    yield _number("scanner_start_time_seconds", "When it started.", health.started)
    yield _number(
        "scanner_last_heartbeat_timestamp_seconds", "When it last said something.", health.at
    )
    yield _number(
        "scanner_resident_memory_bytes",
        "Resident memory of the scanner and its workers.",
        health.memory_bytes,
    )
    yield _number("workers", "Processes that decode.", health.workers)
    yield _number(
        "announcement_queue_length",
        "Announced files not yet journaled.",
        health.queued_announcements,
    )
    good = {each.name: float(not each.problem) for each in health.matchers}
    yield _gauge("matcher_up", "1 if its last answer was a usable one.", good, "matcher")
    answered = {
        each.name: each.last_answer for each in health.matchers if each.last_answer is not None
    }
    about = "When it last gave a usable answer."
    yield _gauge("matcher_last_answer_timestamp_seconds", about, answered, "matcher")
    yield _number(
        "upload_socket_up", "1 if uploads are taken.", health.upload_connections is not None
    )
    held = health.upload_connections or 0
    yield _number("upload_connections", "Connections that applications hold.", held)
    layers = {name: float(not problem) for name, problem in health.sandbox.items()}
    yield _gauge("sandbox_layer_active", "1 if it confines the workers.", layers, "layer")


def _counted(counts: CounterValues) -> Iterator[Metric]:
    """Give the totals since the scanner started."""
    yield _total(
        "announced_files", "Files and directories that were announced.", counts.announced_files
    )
    yield _total("gap_reports", "Times that something may have been missed.", counts.gap_reports)
    judged = {each.value: counts.verdicts.get(each.value, 0) for each in Outcome}
    yield _totals("verdicts", "Verdicts.", judged, "outcome")
    yield _total("checked_bytes", "Size of the contents of these verdicts.", counts.checked_bytes)
    acted = {each.value: counts.actions.get(each.value, 0) for each in Action}
    yield _totals("actions", "Actions taken about files.", acted, "action")
    yield _total("action_failures", "Actions that could not be taken.", counts.action_failures)
    yield _histogram(counts.verdict_latency)
    yield _total("uploads", "Uploads that applications handed over.", counts.uploads)
    yield _total(
        "upload_connections_refused",
        "Applications' connections too many.",
        counts.refused_connections,
    )


def _histogram(delays: LatencyHistogram) -> Metric:
    bounds = [*map(str, BOUNDS), "+Inf"]
    return HistogramMetricFamily(
        "hashwacht_upload_verdict_latency_seconds",
        "From an upload's announcement to its verdict.",
        buckets=list(zip(bounds, accumulate(delays.buckets), strict=True)),
        sum_value=delays.total,
    )


def _waiting(found: StorageStatus, now: float) -> Iterator[Metric]:
    depth = {lane_name(lane): pile.number for lane, pile in found.lanes.items()}
    yield _gauge("journal_pending_files", "Files that wait to be looked at.", depth, "lane")
    ages = {lane_name(lane): _age(pile, now) for lane, pile in found.lanes.items()}
    yield _gauge("journal_oldest_pending_age_seconds", "How long the oldest waits.", ages, "lane")
    yield _number("unanswered_contents", "Waiting for a matcher.", found.unanswered.number)
    oldest = _age(found.unanswered, now)
    yield _number("unanswered_oldest_age_seconds", "How long the oldest waits.", oldest)
    number = found.undetermined.number
    yield _number("undetermined_contents", "Of which nobody can say anything.", number)
    oldest = _age(found.undetermined, now)
    yield _number("undetermined_oldest_age_seconds", "How old the oldest is.", oldest)


def _roots(status: Status, found: StorageStatus) -> Iterator[Metric]:
    names = [root.name for root in status.settings.roots]
    known = {} if status.health is None else {root.name: root for root in status.health.roots}
    watched = {
        name: float(status.alive and name in known and not known[name].problem) for name in names
    }
    yield _gauge("root_watched", "1 if it is watched.", watched, "root")
    for key, about, at in (
        (
            "last_event",
            "When a file was last announced.",
            {n: r.last_event for n, r in known.items()},
        ),
        (
            "last_canary",
            "When the canary was last announced.",
            {n: r.last_canary for n, r in known.items()},
        ),
        ("last_rescan", "When it was last wholly compared with the state.", found.walked),
    ):
        moments = {name: each for name, each in at.items() if each is not None}
        yield _gauge(f"root_{key}_timestamp_seconds", about, moments, "root")
    gaps = {name: [gap.began for gap in found.gaps if gap.root == name] for name in names}
    numbers = {name: len(began) for name, began in gaps.items()}
    yield _gauge("open_gaps", "Times and places not yet made up for.", numbers, "root")
    ages = {name: status.at - min(began, default=status.at) for name, began in gaps.items()}
    yield _gauge("oldest_open_gap_age_seconds", "How old the oldest is.", ages, "root")


def _cases(found: StorageStatus) -> Iterator[Metric]:
    cases = {state.value: found.cases.get(state, 0) for state in CaseState}
    yield _gauge("cases", "Cases, by what was decided.", cases, "state")
    places = {state.value: found.places.get(state, 0) for state in LocationState}
    yield _gauge("case_files", "Files of all cases, by what became of them.", places, "state")
    yield _number(
        "action_limits_active",
        "Reasons for which the flood guard holds actions.",
        len(found.floods),
    )
    yield _total("audit_entries", "Entries of the audit log.", found.audit.seq)


def _alerts(found: StorageStatus) -> Iterator[Metric]:
    by = {each.channel: each for each in found.alerts}
    waiting = {name: each.waiting for name, each in by.items()}
    yield _gauge("alerts_pending", "Notices not yet delivered.", waiting, "channel")
    failing = {name: each.failures for name, each in by.items()}
    yield _gauge("alerts_consecutive_failures", "Failures in a row.", failing, "channel")
    lost = {name: each.given_up + each.left_out for name, each in by.items()}
    yield _gauge("alerts_lost", "Notices of 30 days that reached nobody.", lost, "channel")
    at = {n: each.delivered_at for n, each in by.items() if each.delivered_at is not None}
    yield _gauge("alerts_last_delivery_timestamp_seconds", "When it last worked.", at, "channel")


def _age(pile: Backlog, now: float) -> float:
    return 0.0 if pile.oldest is None else max(0.0, now - pile.oldest)


def _number(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"hashwacht_{name}", about, value=float(value))


def _gauge(name: str, about: str, values: Values, label: str, suffix: str = "") -> Metric:
    family = GaugeMetricFamily(f"hashwacht_{name}{suffix}", about, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family


def _total(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"hashwacht_{name}", about, value=value)


def _totals(name: str, about: str, values: Values, label: str) -> Metric:
    family = CounterMetricFamily(f"hashwacht_{name}", about, labels=[label])
    for each, value in values.items():
        family.add_metric([each], value)
    return family

"""The status as Prometheus metrics, rendered on request and never stored.

Labels have few values: configured names and fixed words.  Never a path, a hash or an account.
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
from hashwacht.audit.chain import PREFIX_LENGTH
from hashwacht.core.types import Action, Outcome
from hashwacht.daemon.scanner.counters import BOUNDS, CounterValues
from hashwacht.daemon.status.assess import Protection, StorageStatus
from hashwacht.daemon.status.gateway_metrics import gateway_metrics
from hashwacht.daemon.status.health import Health
from hashwacht.daemon.status.status import Status, lane_name
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import LocationState
from hashwacht.storage.reports import Backlog

Values = Mapping[str, float]
"""A value for each value of the only label."""


def render_metrics(status: Callable[[], Status]) -> bytes:
    """Return the metrics of now in Prometheus's text format, without time stamps."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status))
    return generate_latest(registry)


class _StatusCollector(Collector):
    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics."""
        status = self._status()
        yield _gauges("build_info", "Version of Hashwacht.", {__version__: 1}, "version")
        states = {state.value: float(state is status.protection) for state in Protection}
        yield _gauges("protection", "1 for the current protection state.", states, "state")
        if status.courier is not None:
            yield _gauge("courier_up", "1 if the courier is reachable.", not status.courier)
        if status.health is not None:
            yield from _process_metrics(status.health, alive=status.is_alive)
            yield from _counter_metrics(status.health.counts)
            if status.health.gateway is not None:
                yield from gateway_metrics(status.health.gateway)
        if status.storage is not None:
            yield from _queue_metrics(status.storage, status.at)
            yield from _root_metrics(status, status.storage)
            yield from _case_metrics(status.storage)
            yield from _alert_metrics(status.storage)


def _process_metrics(health: Health, *, alive: bool) -> Iterator[Metric]:
    memory, queued = health.memory_bytes, health.queued_announcements
    for name, text, value in (
        ("scanner_up", "1 if the scanner has sent a heartbeat lately.", alive),
        ("scanner_start_time_seconds", "Start time of the scanner.", health.started),
        ("scanner_last_heartbeat_timestamp_seconds", "Time of the last heartbeat.", health.at),
        (
            "scanner_resident_memory_bytes",
            "Resident memory of scanner and workers, shared pages counted once.",
            memory,
        ),
        ("workers", "Configured worker processes.", health.workers),
        ("announcement_queue_length", "Announced files not yet in the journal.", queued),
    ):
        yield _gauge(name, text, value)
    matchers = {matcher.name: float(not matcher.problem) for matcher in health.matchers}
    yield _gauges("matcher_up", "1 if the last request was answered.", matchers, "matcher")
    answers = {matcher.name: matcher.last_answer for matcher in health.matchers}
    yield _timestamps("matcher_last_answer", "Time of the last usable answer.", answers, "matcher")
    connections = health.upload_connections
    has_socket = connections is not None
    yield _gauge("upload_socket_up", "1 if web applications can send uploads.", has_socket)
    yield _gauge("upload_connections", "Open connections to the upload socket.", connections or 0)
    layers = {name: float(not problem) for name, problem in health.sandbox.items()}
    yield _gauges("sandbox_layer_active", "1 if the layer confines the workers.", layers, "layer")


def _counter_metrics(counts: CounterValues) -> Iterator[Metric]:
    verdicts = {outcome.value: counts.verdicts.get(outcome.value, 0) for outcome in Outcome}
    actions = {action.value: counts.actions.get(action.value, 0) for action in Action}
    refused, latency = counts.refused_connections, counts.verdict_latency
    bounds = [*map(str, BOUNDS), "+Inf"]
    yield _counter("announced_files", "Announced files and directories.", counts.announced_files)
    yield _counter("gap_reports", "Reports of possibly missed events.", counts.gap_reports)
    yield _counters("verdicts", "Verdicts by outcome.", verdicts, "outcome")
    yield _counter("checked_bytes", "Size of the contents of all verdicts.", counts.checked_bytes)
    yield _counters("actions", "Actions taken on files.", actions, "action")
    yield _counter("action_failures", "Failed actions.", counts.action_failures)
    yield HistogramMetricFamily(
        "hashwacht_upload_verdict_latency_seconds",
        "Time from the announcement of an upload to its verdict.",
        buckets=list(zip(bounds, accumulate(latency.buckets), strict=True)),
        sum_value=latency.total,
    )
    yield _counter("uploads", "Uploads of web applications with a verdict.", counts.uploads)
    yield _counter("upload_connections_refused", "Connections over the limit.", refused)
    yield _counter("uploads_refused", "Descriptors that were not read.", counts.refused_uploads)


def _queue_metrics(storage: StorageStatus, now: float) -> Iterator[Metric]:
    sizes = {lane_name(lane): backlog.number for lane, backlog in storage.queue.items()}
    yield _gauges("journal_pending_files", "Files waiting for their check.", sizes, "lane")
    ages = {lane_name(lane): _age(backlog, now) for lane, backlog in storage.queue.items()}
    text = "Age of the oldest waiting file."
    yield _gauges("journal_oldest_pending_age_seconds", text, ages, "lane")
    for name, text, backlog in (
        ("unanswered", "Contents waiting for a matcher.", storage.unanswered),
        ("undetermined", "Contents whose verdict is undetermined.", storage.undetermined),
    ):
        yield _gauge(f"{name}_contents", text, backlog.number)
        yield _gauge(f"{name}_oldest_age_seconds", "Age of the oldest.", _age(backlog, now))


def _root_metrics(status: Status, storage: StorageStatus) -> Iterator[Metric]:
    names = [root.name for root in status.settings.roots]
    known = {} if status.health is None else {root.name: root for root in status.health.roots}
    watched = {
        name: float(status.is_alive and name in known and not known[name].problem) for name in names
    }
    yield _gauges("root_watched", "1 if the root is watched.", watched, "root")
    events = {name: root.last_event for name, root in known.items()}
    yield _timestamps("root_last_event", "Time of the last announced file.", events, "root")
    canaries = {name: root.last_canary for name, root in known.items()}
    yield _timestamps("root_last_canary", "Time of the last canary event.", canaries, "root")
    text = "Time of the last full rescan."
    yield _timestamps("root_last_rescan", text, storage.last_rescans, "root")
    gaps = {name: [gap.began for gap in storage.gaps if gap.root == name] for name in names}
    counts = {name: len(began) for name, began in gaps.items()}
    yield _gauges("open_gaps", "Gaps that no rescan has covered yet.", counts, "root")
    ages = {name: status.at - min(began, default=status.at) for name, began in gaps.items()}
    yield _gauges("oldest_open_gap_age_seconds", "Age of the oldest open gap.", ages, "root")


def _case_metrics(storage: StorageStatus) -> Iterator[Metric]:
    cases = {state.value: storage.cases.get(state, 0) for state in CaseState}
    yield _gauges("cases", "Cases by state.", cases, "state")
    files = {state.value: storage.case_files.get(state, 0) for state in LocationState}
    yield _gauges("case_files", "Files of all cases by state.", files, "state")
    text = "Reached action limits that pause or discard actions."
    yield _gauge("action_limits_active", text, len(storage.reached_limits))
    yield _counter("audit_entries", "Entries of the audit log.", storage.audit.seq)
    text = "The first 52 bits of the hash of its newest entry."
    yield _gauge("audit_head", text, int(storage.audit.hash[:PREFIX_LENGTH], 16))


def _alert_metrics(storage: StorageStatus) -> Iterator[Metric]:
    channels = {channel.channel: channel for channel in storage.alerts}
    waiting = {name: channel.waiting for name, channel in channels.items()}
    yield _gauges("alerts_pending", "Undelivered alerts.", waiting, "channel")
    failures = {name: channel.failures for name, channel in channels.items()}
    text = "Failed deliveries since the last success."
    yield _gauges("alerts_consecutive_failures", text, failures, "channel")
    lost = {name: channel.given_up + channel.left_out for name, channel in channels.items()}
    yield _gauges("alerts_lost", "Alerts of the last 30 days that were lost.", lost, "channel")
    delivered = {name: channel.delivered_at for name, channel in channels.items()}
    text = "Time of the last successful delivery."
    yield _timestamps("alerts_last_delivery", text, delivered, "channel")


def _age(backlog: Backlog, now: float) -> float:
    return 0.0 if backlog.oldest is None else max(0.0, now - backlog.oldest)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"hashwacht_{name}", text, value=float(value))


def _gauges(name: str, text: str, values: Values, label: str) -> Metric:
    family = GaugeMetricFamily(f"hashwacht_{name}", text, labels=[label])
    for label_value, value in values.items():
        family.add_metric([label_value], value)
    return family


def _timestamps(name: str, text: str, times: Mapping[str, float | None], label: str) -> Metric:
    values = {key: time for key, time in times.items() if time is not None}
    return _gauges(f"{name}_timestamp_seconds", text, values, label)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"hashwacht_{name}", text, value=value)


def _counters(name: str, text: str, values: Values, label: str) -> Metric:
    family = CounterMetricFamily(f"hashwacht_{name}", text, labels=[label])
    for label_value, value in values.items():
        family.add_metric([label_value], value)
    return family

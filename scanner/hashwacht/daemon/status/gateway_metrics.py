"""The metrics of the gateway, by server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hashwacht.core.gateway_report import FrontReport, GatewayReport

_GAUGES: tuple[tuple[str, str, Callable[[FrontReport], float]], ...] = (
    ("open", "1 if the server accepts connections.", lambda front: front.is_open),
    ("connections", "Open connections.", lambda front: front.connections),
    ("cutting_peers", "Peers that seem to cut files.", lambda front: len(front.cutting_peers)),
)

_COUNTERS: tuple[tuple[str, str, Callable[[FrontReport], float]], ...] = (
    ("accepted_connections", "Accepted connections.", lambda front: front.total_connections),
    ("checked_bytes", "Size of the checked contents.", lambda front: front.checked_bytes),
    ("check_seconds", "Time that checks have taken.", lambda front: front.check_seconds),
    ("protocol_errors", "Invalid messages.", lambda front: front.protocol_errors),
    ("timeouts", "Connections ended by a time limit.", lambda front: front.timeouts),
    ("refused_connections", "Connections not permitted.", lambda front: front.refused_connections),
    ("upstream_failures", "Failures of the virus scanner.", lambda front: front.upstream_failures),
    ("cut_streams", "Contents that a client seems to cut.", lambda front: front.cut_streams),
)


def gateway_metrics(report: GatewayReport) -> Iterator[Metric]:
    """Yield the metrics of all servers, with the label *front*."""
    stamp = "Time of the last report of the gateway."
    yield GaugeMetricFamily(
        "hashwacht_gateway_last_report_timestamp_seconds", stamp, value=report.at
    )
    for name, text, value in _GAUGES:
        gauge = GaugeMetricFamily(f"hashwacht_gateway_{name}", text, labels=["front"])
        for front in report.fronts:
            gauge.add_metric([front.name], float(value(front)))
        yield gauge
    for name, text, value in _COUNTERS:
        counter = CounterMetricFamily(f"hashwacht_gateway_{name}", text, labels=["front"])
        for front in report.fronts:
            counter.add_metric([front.name], float(value(front)))
        yield counter
    checks = CounterMetricFamily(
        "hashwacht_gateway_checks", "Checks by outcome.", labels=["front", "outcome"]
    )
    for front in report.fronts:
        for outcome, number in front.checks.items():
            checks.add_metric([front.name, outcome], number)
    yield checks

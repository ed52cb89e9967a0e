"""The scanner's health: counted, written atomically, loaded unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.types import Outcome
from hashwacht.daemon.scanner.counters import BOUNDS, Counters, CounterValues, LatencyHistogram
from hashwacht.daemon.scanner.runtime import MatcherHealth
from hashwacht.daemon.status.assess import assess
from hashwacht.daemon.status.health import (
    STALE_AFTER,
    WRITE_INTERVAL,
    Health,
    HealthFile,
    RootHealth,
    Stage,
    decode_health,
    encode_health,
)
from hashwacht.platform.process import pid_namespace

_times = st.none() | st.floats(0, 1e10)
_healths = st.builds(
    Health,
    pid=st.integers(1, 1 << 22),
    version=st.just("1.0"),
    started=st.floats(0, 1e10),
    stage=st.sampled_from(Stage),
    at=st.floats(0, 1e10),
    memory_bytes=st.integers(0),
    queued_announcements=st.integers(0),
    workers=st.integers(0, 64),
    roots=st.lists(
        st.builds(
            RootHealth,
            st.text(max_size=8),
            st.binary(max_size=20),
            st.just("inotify"),
            st.text(max_size=8),
            _times,
            _times,
        ),
        max_size=3,
    ).map(tuple),
    matchers=st.lists(
        st.builds(MatcherHealth, st.text(max_size=8), _times, _times, st.text(max_size=8)),
        max_size=3,
    ).map(tuple),
    sandbox=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=2),
    counts=st.builds(
        CounterValues,
        announced_files=st.integers(0),
        verdicts=st.dictionaries(st.text(max_size=8), st.integers(0), max_size=3),
        verdict_latency=st.builds(LatencyHistogram, total=st.floats(0, 1e10)),
    ),
)


@given(_healths)
def test_health_survives_encoding_with_any_names(health: Health) -> None:
    text = encode_health(health)
    assert "\n" not in text
    assert decode_health(text.encode("utf-8", "surrogatepass")) == health


@given(
    st.binary()
    | st.recursive(st.none() | st.text(), st.lists).map(lambda j: json.dumps(j).encode())
)
def test_any_other_text_is_refused(text: bytes) -> None:
    assert decode_health(text) is None


def test_missing_and_unknown_keys_are_refused() -> None:
    fields = json.loads(encode_health(Health(1, "1.0", 2.0)))
    for key in ("v", "type", "pid", "stage", "roots", "counts"):
        incomplete = {name: value for name, value in fields.items() if name != key}
        assert decode_health(json.dumps(incomplete).encode()) is None
    assert decode_health(json.dumps({**fields, "surprise": 1}).encode()) is None


def test_the_file_is_dated_private_and_replaced_atomically(tmp_path: Path) -> None:
    now = [1000.0]
    file = HealthFile(tmp_path, lambda: now[0])
    assert file.read() is None
    assert file.is_due()
    file.write(Health(1, "1.0", 2.0))
    with file.path.open("rb") as before:
        now[0] += WRITE_INTERVAL
        assert file.is_due()
        file.write(Health(1, "1.0", 2.0, Stage.WATCHING))
        former = decode_health(before.read())
        assert former is not None
        assert former.stage is Stage.STARTING
    health = file.read()
    assert health is not None
    assert (health.stage, health.at) == (Stage.WATCHING, 1000.0 + WRITE_INTERVAL)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
    assert not file.is_due()
    assert not health.is_stale(now[0] + STALE_AFTER)
    assert health.is_stale(now[0] + STALE_AFTER + 1)


def test_writes_continue_after_the_clock_is_set_back(tmp_path: Path) -> None:
    now = [1000.0]
    file = HealthFile(tmp_path, lambda: now[0])
    file.write(Health(1, "1.0", 2.0))
    now[0] = 10.0
    assert file.is_due()


def test_health_from_before_a_clock_change_is_stale(tmp_path: Path) -> None:
    file = HealthFile(tmp_path, lambda: 100_000.0)
    file.write(Health(1, "1.0", 2.0, Stage.WATCHING))
    health = file.read()
    assert health is not None
    assert health.is_stale(10.0)


def test_counts_of_several_threads_add_up() -> None:
    counting = Counters()

    def work() -> None:
        for _ in range(500):
            counting.count_announced(2, gap_reports=1)
            counting.count_verdict(Outcome.MATCH, 10, 0.2)
            counting.count_action("hold")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = counting.snapshot()
    assert (counts.announced_files, counts.gap_reports, counts.checked_bytes) == (
        4000,
        2000,
        20_000,
    )
    assert counts.verdicts == {"match": 2000, "no-match": 0, "undetermined": 0}
    assert counts.actions == {"hold": 2000}
    assert sum(counts.verdict_latency.buckets) == 2000
    assert counts.verdict_latency.total == pytest.approx(400)


@given(st.lists(st.floats(0, 1e5), max_size=30))
def test_a_delay_is_counted_in_its_bucket(delays: list[float]) -> None:
    counting = Counters()
    for delay in delays:
        counting.count_verdict(Outcome.NO_MATCH, 0, delay)
    buckets = counting.snapshot().verdict_latency.buckets
    for number, bound in enumerate(BOUNDS):
        assert sum(buckets[: number + 1]) == sum(delay <= bound for delay in delays)
    assert sum(buckets) == len(delays)


def test_a_recheck_counts_as_verdict_but_not_as_latency() -> None:
    counting = Counters()
    counting.count_verdict(Outcome.NO_MATCH, 5)
    counting.count_action("quarantine", failed=True)
    counts = counting.snapshot()
    assert (counts.verdicts["no-match"], sum(counts.verdict_latency.buckets)) == (1, 0)
    assert (counts.actions, counts.action_failures) == ({}, 1)


def test_a_process_that_died_is_gone_at_once() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        health = Health(process.pid, "0", 0.0, pid_namespace=pid_namespace())
        elsewhere = replace(health, pid_namespace=pid_namespace() + 1)
        assert not health.is_gone
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert health.is_gone, "it is a zombie"
        process.wait()
        assert health.is_gone
        assert not elsewhere.is_gone
    [problem] = assess(["web"], health, None, 0.0)
    assert problem.critical
    assert f"process {health.pid} has died" in problem.detail

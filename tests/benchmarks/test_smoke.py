"""Run every benchmark on little input in every check, so that none stops working unnoticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.measured import write
from benchmarks.measuring import Table, at_least, at_most

HERE = Path(__file__).parent
COLLECTED = ("-o", "python_files=bench_*.py", "-o", "python_functions=bench_*")


def test_every_benchmark_runs_and_leaves_its_row(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE), *COLLECTED],
        env={**os.environ, "HASHWACHT_BENCH": "smoke", "HASHWACHT_BENCH_FOLDER": str(tmp_path)},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    document = json.loads((tmp_path / "bench.json").read_text())
    assert document["smoke"]
    names = [row["name"] for row in document["rows"]]
    assert "12 MP JPEG, all signals" in names
    assert len(set(names)) == len(names)
    assert all(name in (tmp_path / "bench.txt").read_text() for name in names)
    assert (tmp_path / "bench.html").read_text().count("<rect") <= len(names)


def test_a_verdict_says_by_how_much_a_target_is_missed() -> None:
    assert at_least(18, "x").verdict(18.0) == "reached"
    assert at_least(18, "x").verdict(16.2) == "missed by 10%"
    assert at_most(120, "MB").verdict(150) == "missed by 25%"
    assert at_most(0, "bits").verdict(3) == "missed by 3 bits"


def test_a_race_is_ours_against_the_peer_and_may_be_turned_round(tmp_path: Path) -> None:
    table = Table()
    times = table.race(ours=lambda: sum(range(20_000)), peer=lambda: sum(range(100_000)), rounds=9)
    table.add("faster", times, against="a peer", target=at_least(0.001, "x"))
    table.add("floor", times, against="a floor", target=at_most(1000, "x"), inverse=True)
    table.missing("other", against="nobody", target=at_least(1, "x"), why="not installed <here>")
    assert times.ratio > 1
    assert [row.verdict for row in table.rows] == ["reached", "reached", "not measured"]
    assert "not installed &lt;here&gt;" in (write(table, tmp_path) and _page(tmp_path))


def test_the_reason_is_shown_only_for_a_missed_target(tmp_path: Path) -> None:
    table = Table()
    table.note("slow", 16.2, target=at_least(18, "x"), why="it is <large>")
    table.note("fast", 20, target=at_least(18, "x"), why="never shown")
    table.note("odd", 1, target=at_least(18, "x"))
    text = write(table, tmp_path)
    assert "slow, missed by 10%: it is <large>\n" in text
    assert "odd, missed by 94%: unknown reason\n" in text
    assert "never shown" not in text + _page(tmp_path)
    assert "short because it is &lt;large&gt;" in _page(tmp_path)


def _page(folder: Path) -> str:
    return (folder / "bench.html").read_text()

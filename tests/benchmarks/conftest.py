"""One table for the whole run, written at its end; ``HASHWACHT_BENCH=smoke`` only runs the code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.measured import write
from benchmarks.measuring import Table, one_core

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # set before numpy is imported, which else starts a thread per core

FOLDER = Path(os.environ.get("HASHWACHT_BENCH_FOLDER", "build/bench"))


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Iterator[Table]:
    """Collect the rows; write and print them at the end."""
    rows = Table(smoke=os.environ.get("HASHWACHT_BENCH") == "smoke")
    yield rows
    text = write(rows, FOLDER)
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None
    reporter.write_line(text)
    reporter.write_line(f"Written to {FOLDER}/bench.txt, bench.json and bench.html")


@pytest.fixture(scope="module")
def on_one_core() -> Iterator[None]:
    """Run all benchmarks of a module and their workers on one core."""
    with one_core():
        yield

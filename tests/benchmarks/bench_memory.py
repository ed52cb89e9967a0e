"""The memory of a worker process: idle, and at its peak."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import pytest

from benchmarks.measuring import Table, at_most
from demo.pictures import encode, grainy, photo
from hashwacht.hashing import Plan
from hashwacht.hashing.workers.pool import WorkerPool

ALL = ("md5", "sha1", "sha256", "pdq", "phash64", "dhash64")


PHONE = (16320, 12240)
"""200 million pixels, as phones take."""


def peak(pid: int) -> float:
    """Return the peak resident memory of a process in MB (VmHWM in proc(5))."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) * 1024 / 1e6


def bench_an_idle_worker(table: Table) -> None:
    """Measure a worker that has not decoded anything yet."""
    with WorkerPool(Plan(ALL), 1) as pool:
        before = set(psutil.Process().children(recursive=True))
        assert not any(pool.layers.values())
        (worker,) = set(psutil.Process().children(recursive=True)) - before
        memory = worker.memory_full_info()
    table.note(
        "memory of an idle worker",
        memory.pss / 1e6,
        f"shared pages by share; {memory.uss / 1e6:.1f} MB are its own,"
        f" {memory.rss / 1e6:.1f} with all that it shares",
        target=at_most(30, "MB"),
    )


@pytest.mark.parametrize(
    ("name", "form", "quick"),
    [
        ("JPEG, as scanned", "jpeg", True),
        ("JPEG, exact", "jpeg", False),
        ("PNG, as scanned", "png", True),
    ],
)
def bench_peak_of_a_worker(name: str, form: str, quick: bool, table: Table, tmp_path: Path) -> None:
    size = (800, 600) if table.smoke else (4000, 3000)
    path = tmp_path / "picture"
    path.write_bytes(encode(grainy(photo(1, size)), form))
    with WorkerPool(Plan(ALL, quick=quick), 1) as pool, path.open("rb") as file:
        before = set(psutil.Process().children(recursive=True))
        for _ in range(table.amount(5)):
            file.seek(0)
            assert len(pool.fingerprint(file.fileno()).signals) == len(ALL)
        workers = set(psutil.Process().children(recursive=True)) - before
        figures = [peak(process.pid) for process in workers]
    table.note(
        f"peak memory of a worker, 12 MP {name}",
        max(figures),
        "resident, pages shared with the other workers included",
        target=at_most(120, "MB"),
    )


@pytest.mark.parametrize("quick", [True, False])
def bench_peak_at_200_megapixels(quick: bool, table: Table, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    size = (1600, 1200) if table.smoke else PHONE
    photo(3, (2040, 1530)).resize(size).save(path, "JPEG", quality=85)
    with WorkerPool(Plan(ALL, quick=quick), 1) as pool, path.open("rb") as file:
        before = set(psutil.Process().children(recursive=True))
        assert len(pool.fingerprint(file.fileno()).signals) == len(ALL)
        workers = set(psutil.Process().children(recursive=True)) - before
        figures = [peak(process.pid) for process in workers]
    table.note(
        f"peak memory of a worker, 200 MP JPEG, {'as scanned' if quick else 'exact'}",
        max(figures),
        "resident, pages shared with the other workers included",
        target=at_most(200, "MB"),
    )

"""The upgrade of a storage of a million files that the former release has written."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from benchmarks.measuring import Table, at_most
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.migration import snapshots
from hashwacht.storage.sqlite.schema import STEPS

IN_A_DIRECTORY = 100


def fill(path: Path, files: int) -> None:
    """Write a storage of that many files with the former schema."""
    Database.open(path, steps=STEPS[:-1]).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO recipes VALUES (1, 'recipe')")
        connection.executemany(
            "INSERT INTO directories VALUES (?, ?, 1)",
            ((n, b"/srv/www/customer-%d" % n) for n in range(-(-files // IN_A_DIRECTORY))),
        )
        connection.executemany(
            "INSERT INTO contents VALUES (?, 1, 1, 0, NULL, 1, 0.0)", ((n,) for n in range(files))
        )
        connection.executemany(
            "INSERT INTO fingerprints VALUES (?, randomblob(32), 50000, 1, 0, 0.0,"
            " randomblob(120), NULL)",
            ((n,) for n in range(files)),
        )
        connection.executemany(
            "INSERT INTO files VALUES (?, ?, 1, ?, 50000, 0, 0, ?, NULL, 1, 0)",
            ((n // IN_A_DIRECTORY, b"picture-%d.jpg" % n, n, n) for n in range(files)),
        )


def bench_upgrade_of_a_million_files(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    fill(path, table.amount(1_000_000, 1000))
    began = time.process_time()
    Database.open(path).close()
    seconds = time.process_time() - began
    assert [*snapshots(path)] == [len(STEPS) - 1]
    table.note(
        "upgrade of a storage of 1,000,000 files",
        seconds,
        f"processor time, with the snapshot of {path.stat().st_size / 2**20:.0f} MiB",
        target=at_most(60, "s"),
    )

"""The CSV beside the HTML report: one row for each file, all of them, for spreadsheets and scripts.

A cell that a spreadsheet would take for a formula begins with an apostrophe.  Signals are left out:
hash lists are secrets.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from hashwacht.cli.render.findings import describe_distance
from hashwacht.core.paths import escape_path
from hashwacht.core.text import escape_text
from hashwacht.platform import atomic
from hashwacht.scan.progress import ScanResult

COLUMNS = (
    *("outcome", "category", "matcher", "list", "id", "signal"),
    *("suppressed", "reason", "detail", "kind", "size", "sha256", "path"),
)

_FORMULA = ("=", "+", "-", "@")


def csv_path(report: Path) -> Path:
    """Return the path of the CSV beside an HTML report."""
    return report.with_name(f"{report.name}.csv")


def write_csv(results: Iterable[ScanResult], path: Path) -> None:
    """Write all *results*, readable by the owner alone; replace the file.  Raises OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for result in results:
                writer.writerows(_rows(result))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    atomic.sync_directory(path.parent)


def _rows(result: ScanResult) -> Iterator[list[str]]:
    verdict = result.verdict
    matches = verdict.matches or verdict.suppressed
    columns = (
        str(verdict.outcome),
        _joined(match.category for match in matches),
        _joined(match.matcher for match in matches),
        _joined(match.list for match in matches),
        _joined(match.id for match in matches),
        _joined(map(describe_distance, matches)),
        _joined(f"{good.matcher}/{good.list}" for good in verdict.suppressed_by),
        *(str(verdict.reason or ""), verdict.detail, result.kind, str(result.size), result.key),
    )
    cells = [_cell(escape_text(text)) for text in columns]
    for path in result.paths:
        yield [*cells, _cell(escape_path(path))]


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(filter(None, texts)))


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text

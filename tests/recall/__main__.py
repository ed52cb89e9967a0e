"""Measure recall and false matches, print the table, and write docs/recall.md.

``python -m recall`` measures everything, ``python -m recall displayed`` one part; the results of
the others are those of their last run, below build/recall/results.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from recall import damage, displayed, document, false_matches, transform_recall
from recall.report import Row, target_table

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "recall"

PARTS: Mapping[str, ModuleType] = {
    "displayed": displayed,
    "damage": damage,
    "transforms": transform_recall,
    "false": false_matches,
}


def main(names: list[str]) -> int:
    """Measure the parts of these names, all by default; return 1 if a target is missed."""
    unknown = set(names) - PARTS.keys()
    if unknown:
        sys.stderr.write(f"unknown: {', '.join(unknown)}; use {', '.join(PARTS)}\n")
        return 2
    rows: list[Row] = []
    for name in names or PARTS:
        sys.stderr.write(f"measuring: {name}\n")
        result = PARTS[name].measure(BUILD)
        _write(name, result)
        sys.stdout.write(f"{PARTS[name].describe(result)}\n\n")
        rows = _write_document()
    sys.stdout.write(f"{target_table(rows)}\n")
    return int(any(row.verdict != "reached" for row in rows))


def _write_document() -> list[Row]:
    """Write what was measured so far into the document; return all rows of the table."""
    results = {name: _read(name) for name in PARTS}
    rows = [row for name, part in PARTS.items() for row in part.rows(results[name])]
    document.write(ROOT / "docs" / "recall.md", rows, results)
    return rows


def _write(name: str, result: Mapping[str, Any]) -> None:
    path = BUILD / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1))


def _read(name: str) -> Mapping[str, Any]:
    path = BUILD / "results" / f"{name}.json"
    result: Mapping[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

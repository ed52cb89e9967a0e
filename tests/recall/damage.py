"""Damaged files: how far our hashes are from what Chromium displays of them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recall.report import Row, at_most
from support.browser.renderer import chromium
from support.recall.damage_oracle import TOLERANCE, damaged_files, judge_damage

PICTURES, EACH, SEED = 6, 12, 60_001


def measure(build: Path) -> dict[str, Any]:
    """Judge files of every coding; keep those that are missed below *build*."""
    counts: Counter[str] = Counter()
    missed: list[str] = []
    kept = build / "missed" / "damage"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, chromium(Path(home)) as renderer:
        for result in judge_damage(renderer, damaged_files(SEED, PICTURES, EACH)):
            counts["files"] += 1
            counts["displayed"] += result.displayed
            counts["undetermined"] += result.displayed and result.undetermined
            if result.missed:
                missed.append(f"{result.file.name}: {result.farthest} bits")
                (kept / result.file.name.replace("/", "_")).write_bytes(result.file.content)
    return {**counts, "missed": missed}


def rows(results: Mapping[str, Any]) -> list[Row]:
    """Return the row of the table."""
    displayed = results.get("displayed", 0)
    share = len(results["missed"]) if results else None
    return [
        at_most(
            f"damaged files displayed by Chromium ({displayed:,}), hashed as something else"
            f" (more than {TOLERANCE} bits off)",
            "131 of 478",
            share,
            0,
        )
    ]


def describe(results: Mapping[str, Any]) -> str:
    """Return the counts and what was missed."""
    head = (
        f"## damage: {results['files']} files, {results['displayed']} displayed,"
        f" {results['undetermined']} undetermined, {len(results['missed'])} missed"
    )
    return "\n".join([head, *(f"- {text}" for text in results["missed"])])

"""SECURITY.md names tests for its claims: they must exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 15
    code = "".join(each.read_text() for each in (ROOT / "tests").rglob("test_*.py"))
    assert {each for each in named if f"def {each}(" not in code} == set()

"""Many kills at random moments; ``test_every_step.py`` tests each single step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.processes import PROGRAMS

KILLS = 150


def test_everything_is_in_one_place_after_each_of_many_kills(memory: Path) -> None:
    command = [sys.executable, str(PROGRAMS / "quarantine_under_kills.py")]
    arguments = [str(memory / "home"), str(KILLS), "0.015"]
    result = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    counts = json.loads(result.stdout)
    assert counts["moved"] > KILLS / 4, "most of them worked before they were killed"

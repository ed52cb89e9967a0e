"""A process that dies before any single step of an action: see ``die_at_every_step.py``."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from support.processes import PROGRAMS

PROGRAM = PROGRAMS / "die_at_every_step.py"


def die_at_every_step(home: Path, act: str) -> list[str]:
    """Return the place of the content after each death; the last process completes."""
    command = [sys.executable, str(PROGRAM), str(home / "home"), act]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    places = [place for _, place in json.loads(result.stdout)]
    assert len(places) > 15, "an action takes more steps"
    return places


@pytest.mark.parametrize(
    ("act", "before", "after"),
    [
        ("quarantine", "place", "vault"),
        ("linked", "place", "vault"),
        ("swapped", "place", "swapped"),
        ("restore", "vault", "place"),
        ("restore elsewhere", "vault", "place"),
        ("destroy", "vault", "destroyed"),
    ],
)
def test_an_action_takes_effect_at_one_instant(
    tmp_path: Path, act: str, before: str, after: str
) -> None:
    places = die_at_every_step(tmp_path, act)
    assert {places[0], places[-1]} == {before, after}
    assert [pair for pair in pairwise(places) if pair[0] != pair[1]] == [(before, after)]


def test_an_interrupted_put_back_is_completed(tmp_path: Path) -> None:
    assert set(die_at_every_step(tmp_path, "changed")) == {"place"}

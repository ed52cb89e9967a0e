"""File systems without renameat2(2), whose renames might replace a file."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import PROGRAMS

PROGRAM = PROGRAMS / "quarantine_without_renameat2.py"


def test_nothing_is_replaced_there_either(tmp_path: Path) -> None:
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the number of the system call is not known for this machine")
    command = [sys.executable, str(PROGRAM), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "removed": True,
        "occupied": "taken",
        "restored": True,
        "back": True,
        "names": ["picture"],
    }

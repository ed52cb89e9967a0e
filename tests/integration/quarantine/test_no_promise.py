"""File systems that cannot rename without the risk of replacing: see no_promise.py."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("no_promise.py")


def test_nothing_is_replaced_there_either(tmp_path: Path) -> None:
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the number of the system call is not known for this machine")
    command = [sys.executable, str(PROGRAM), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "gone": True,
        "taken": "taken",
        "restored": True,
        "back": True,
        "names": ["picture"],
    }

"""An open storage needs no further file descriptor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.processes import PROGRAMS


def test_open_connections_work_without_free_descriptors(tmp_path: Path) -> None:
    program = PROGRAMS / "use_up_descriptors.py"
    result = subprocess.run(
        [sys.executable, program, tmp_path / "state.db"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stderr == ""
    assert result.stdout == "[False, True] True"

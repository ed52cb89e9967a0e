"""A program with a root, a state with some history, and a runtime directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Configure one root named web; no run has started."""
    program = Program(tmp_path)
    runtime, root = tmp_path / "run", tmp_path / "web"
    runtime.mkdir(0o700)
    root.mkdir()
    with program.configuration.open("a") as file:
        file.write(f'[daemon]\nruntime_directory = "{runtime}"\n[roots.web]\npath = "{root}"\n')
    return program

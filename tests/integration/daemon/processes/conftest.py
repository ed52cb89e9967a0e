from __future__ import annotations

from pathlib import Path

import pytest

from support.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    home = tmp_path / "home"
    home.mkdir()
    program = Program(home)
    program.environment["RUNTIME_DIRECTORY"] = str(tmp_path / "run")
    return program


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    path = tmp_path / "Uploads of Customers"
    path.mkdir()
    return path

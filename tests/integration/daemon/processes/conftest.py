from __future__ import annotations

from pathlib import Path

import pytest

from support.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    home = tmp_path / "home"
    home.mkdir()
    made = Program(home)
    made.environment["RUNTIME_DIRECTORY"] = str(tmp_path / "run")
    return made


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    made = tmp_path / "Uploads of Customers"
    made.mkdir()
    return made

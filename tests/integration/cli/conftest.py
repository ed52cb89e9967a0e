from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashwacht.quarantine.age import KeyPair
from hashwacht.settings import ActionLimitSettings
from support.cases import CaseHarness
from support.program import Program, objects


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def key(program: Program) -> Path:
    """Make a key pair as an operator does, and configure a root with quarantine."""
    result = program.run("quarantine", "keygen", "key.txt", "--json")
    assert result.returncode == 0, result.stderr
    (pair,) = objects(result.stdout)
    (program.home / "files").mkdir()
    with program.configuration.open("a") as file:
        file.write(
            f'[roots.www]\npath = "{program.home}/files"\non_exact_match ='
            f' "quarantine"\non_similar_match = "hold"\n'
            f'[quarantine]\nrecipients = ["{pair["public_key"]}"]\n[action_limits]\nper_hash = 2\n'
        )
    return program.home / "key.txt"


@pytest.fixture
def harness(program: Program, key: Path) -> Iterator[CaseHarness]:
    """Open the daemon's side of the same state."""
    text = key.read_text()
    public = text.split("public key: ")[1].split()[0]
    guard = ActionLimitSettings(per_hash=2)
    opened = CaseHarness(program.home, keys=KeyPair(public, ""), limits=guard).open()
    opened.clock.now = 1_700_000_000.0
    yield opened
    opened.close()

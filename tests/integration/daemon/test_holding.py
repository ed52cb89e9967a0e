"""What the daemon holds or quarantines stays so, whatever the owner and other names of it do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hashwacht.quarantine.age import generate_key_pair
from hashwacht.storage.locations import LocationState
from hashwacht.storage.store import Store
from support.cases import mode
from support.daemon.daemon_program import DaemonProgram
from support.program import objects

NOBODY = 65534
KNOWN = b"known"


def states(store: Store, path: Path) -> list[LocationState]:
    cases = store.cases.load_all()
    locations = [place for case in cases for place in store.locations.load_by_content(case.key)]
    return [location.state for location in locations if location.path == bytes(path)]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to take files from their owners")
def test_a_held_file_stays_held_after_changes_of_its_mode(tmp_path: Path) -> None:
    program, root = DaemonProgram(tmp_path), tmp_path / "storage"
    root.mkdir()
    program.watch("uploads", root, 'on_exact_match = "hold"')
    program.know(KNOWN)
    path = root / "a"
    with program.scanner(), closing(program.state()) as store:
        path.write_bytes(KNOWN)
        os.chown(path, NOBODY, NOBODY)
        program.wait_for(lambda: states(store, path) == [LocationState.HELD], "held")
        owner = [
            sys.executable,
            "-c",
            f"import os; os.setuid({NOBODY}); os.chmod({str(path)!r}, 0o644)",
        ]
        result = subprocess.run(owner, capture_output=True, text=True, check=False)
        assert "PermissionError" in result.stderr
        assert mode(bytes(path)) == 0
        path.chmod(0o644)  # an administrator, by mistake
        program.wait_for(lambda: mode(bytes(path)) == 0, "held again")
        os.chown(path, NOBODY, NOBODY)  # or by a script that repairs owners
        program.wait_for(lambda: path.stat().st_uid == 0, "taken again")
    doctor = objects(program.run("doctor", "--json").stdout)
    assert not [check for check in doctor if check["subject"] == "holds"]


def test_every_name_of_a_quarantined_file_is_sealed(tmp_path: Path) -> None:
    program, root, outside = DaemonProgram(tmp_path), tmp_path / "storage", tmp_path / "outside"
    for directory in (root, root / "a", root / "b", outside):
        directory.mkdir()
    program.watch("uploads", root, 'on_exact_match = "quarantine"')
    with program.configuration.open("a") as file:
        file.write(f"[quarantine]\nrecipients = {json.dumps([generate_key_pair().public])}\n")
    program.know(KNOWN)
    names = [root / "a/first", root / "b/second"]
    with program.scanner(), closing(program.state()) as store:
        names[0].write_bytes(b"harmless")
        program.wait_for(lambda: store.files.load(bytes(root / "a"), b"first"), "examined alone")
        names[1].hardlink_to(names[0])
        (outside / "third").hardlink_to(names[0])
        with names[1].open("wb") as file:
            file.write(KNOWN)
        sealed = [LocationState.QUARANTINED]
        program.wait_for(
            lambda: [states(store, name) for name in names] == [sealed] * 2, "both sealed", 60
        )
        assert not any(name.exists() for name in names)
        assert mode(bytes(outside / "third")) == 0, "the name outside is held"
        program.wait_for(lambda: b"hard link" in program.run("cases", "show", "1").stdout, "shown")

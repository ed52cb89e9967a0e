"""Kills at random moments: no file is lost, no case opened twice, each action done once."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from hashwacht.quarantine.age import generate_key_pair
from hashwacht.quarantine.record import EntryState
from hashwacht.storage.locations import LocationState
from support.cases import CaseHarness
from support.processes import PROGRAMS

PROCESSOR = PROGRAMS / "apply_verdicts.py"
KILLS = 60
FILES = 6
"""New ones before every kill."""

CONTENTS = (b"near", b"known 1", b"known 2")


def arrive(files: Path, number: int) -> dict[Path, bytes]:
    """Write some files."""
    arrived = {files / f"{number:04}-{index}": CONTENTS[index % 3] for index in range(FILES)}
    for path, content in arrived.items():
        path.write_bytes(content)
    return arrived


def test_sixty_kills_leave_one_action_for_each_file(tmp_path: Path) -> None:
    keys = generate_key_pair()
    chance = random.Random(20261123)
    (tmp_path / "files").mkdir()
    CaseHarness(tmp_path, keys=keys).open().close()
    uploaded: dict[Path, bytes] = {}
    with subprocess.Popen(
        [sys.executable, PROCESSOR, tmp_path, keys.public],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(KILLS):
            uploaded |= arrive(tmp_path / "files", number)
            process.stdin.write(b"%f\n" % chance.uniform(0.0, 0.12))
            process.stdin.flush()
            assert process.stdout.readline() == b"killed\n"
        process.stdin.close()
    assert process.returncode == 0
    with closing(CaseHarness(tmp_path, keys=keys).open()) as harness:
        check(harness, uploaded)


def check(harness: CaseHarness, uploaded: dict[Path, bytes]) -> None:
    """Compare the written files with files, vault, storage and audit log."""
    cases = harness.store.cases.load_latest(10)
    assert len(cases) == len(CONTENTS)
    locations = [
        location for case in cases for location in harness.store.locations.load_by_content(case.key)
    ]
    assert Counter(location.path for location in locations) == Counter(map(bytes, uploaded))
    records = {record.id: record for record in harness.vault.records()}
    assert Counter(record.path for record in records.values()) == Counter(
        bytes(path) for path, content in uploaded.items() if content != b"near"
    )
    for location in locations:
        path = Path(location.path.decode())
        if uploaded[path] == b"near":
            assert location.state is LocationState.HELD
            assert path.stat().st_mode & 0o777 == 0
            assert path.read_bytes() == b"near"
        else:
            assert location.state is LocationState.QUARANTINED
            assert not path.exists()
            assert records[location.vault].path == location.path
            assert records[location.vault].state is EntryState.SEALED
            assert records[location.vault].attributes.mode == 0o644
    assert [*harness.files.glob(".hashwacht-*")] == []
    assert harness.audit.verify() is None
    actions = Counter(
        (entry.facts["case"], entry.facts["file"])
        for entry in harness.audit.entries()
        if entry.act in {"held", "quarantined"}
    )
    assert len(actions) == len(uploaded), "every action is in the log"
    # A crash between the log and the commit repeats the entry, with the same numbers.
    assert sum(actions.values()) - len(actions) <= KILLS

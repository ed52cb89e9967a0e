"""Killed at random instants, casework loses no file, opens no case twice, acts once."""

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
from support.casework import Office

SETTLER = Path(__file__).parent / "settler.py"
KILLS = 60
FILES = 6
"""New ones before every kill."""

CONTENTS = (b"near", b"known 1", b"known 2")


def arrive(files: Path, number: int) -> dict[Path, bytes]:
    """Upload some files."""
    arrived = {files / f"{number:04}-{each}": CONTENTS[each % 3] for each in range(FILES)}
    for path, content in arrived.items():
        path.write_bytes(content)
    return arrived


def test_sixty_kills_leave_one_case_one_place_and_one_action_for_each(tmp_path: Path) -> None:
    keys = generate_key_pair()
    chance = random.Random(20261123)
    (tmp_path / "files").mkdir()
    Office(tmp_path, keys=keys).open().close()
    uploaded: dict[Path, bytes] = {}
    with subprocess.Popen(
        [sys.executable, SETTLER, tmp_path, keys.public],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as settler:
        assert settler.stdin is not None
        assert settler.stdout is not None
        for number in range(KILLS):
            uploaded |= arrive(tmp_path / "files", number)
            settler.stdin.write(b"%f\n" % chance.uniform(0.0, 0.12))
            settler.stdin.flush()
            assert settler.stdout.readline() == b"killed\n"
        settler.stdin.close()
    assert settler.returncode == 0
    with closing(Office(tmp_path, keys=keys).open()) as office:
        check(office, uploaded)


def check(office: Office, uploaded: dict[Path, bytes]) -> None:
    """Compare what was uploaded with files, vault, state and audit log."""
    cases = office.store.cases.load_latest(10)
    assert len(cases) == len(CONTENTS)
    places = [place for case in cases for place in office.store.locations.load_by_content(case.key)]
    assert Counter(place.path for place in places) == Counter(map(bytes, uploaded))
    records = {record.id: record for record in office.vault.records()}
    assert Counter(record.path for record in records.values()) == Counter(
        bytes(path) for path, content in uploaded.items() if content != b"near"
    )
    for place in places:
        path = Path(place.path.decode())
        if uploaded[path] == b"near":
            assert place.state is LocationState.HELD
            assert path.stat().st_mode & 0o777 == 0
            assert path.read_bytes() == b"near"
        else:
            assert place.state is LocationState.QUARANTINED
            assert not path.exists()
            assert records[place.vault].path == place.path
            assert records[place.vault].state is EntryState.SEALED
            assert records[place.vault].attributes.mode == 0o644
    assert [*office.files.glob(".hashwacht-*")] == []
    assert office.audit.verify() is None
    told = Counter(
        (entry.facts["case"], entry.facts["file"])
        for entry in office.audit.entries()
        if entry.act in {"held", "quarantined"}
    )
    assert len(told) == len(uploaded), "every action is in the log"
    # A crash between the log and the commit has it told again, with the same numbers.
    assert sum(told.values()) - len(told) <= KILLS

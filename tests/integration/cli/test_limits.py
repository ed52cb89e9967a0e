"""The commands ``limits``, ``quarantine`` and ``audit``."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path

from hashwacht.core.types import FileId
from hashwacht.core.watch_events import Lane
from hashwacht.platform.filesystems.volumes import VOLUMES
from support.cases import CaseHarness, at
from support.program import Program, objects

REASON = ("--reason", "because it is a test")


def test_a_flood_is_let_go(program: Program, harness: CaseHarness) -> None:
    paths = [harness.file(f"{number}.png", uid=5000 + number) for number in range(6)]
    for path in paths:
        harness.apply(path)
    (limit,) = objects(program.run("limits", "list", "--json").stdout)
    assert (limit["scope"], limit["waiting"], limit["decision"]) == ("hash", 4, "open")
    assert program.run("limits", "approve", "1").returncode == 2, "a reason"
    result = program.run("limits", "approve", "1", *REASON)
    assert (result.returncode, result.stdout) == (0, b"limit 1: 4 files approved\n")
    assert not any(at(path).exists() for path in paths)
    assert program.run("limits", "list", "--json").stdout == b""
    assert program.run("limits", "approve", "1", *REASON).returncode == 2


def test_other_names_of_an_approved_file_are_journaled(
    program: Program, harness: CaseHarness
) -> None:
    paths = [harness.file(f"{number}.png", uid=5000 + number) for number in range(4)]
    for path in paths:
        harness.apply(path)
    second = harness.files / "second.png"
    second.hardlink_to(at(paths[-1]))
    fd = os.open(harness.files, os.O_RDONLY)
    VOLUMES.examine(fd)  # as a walk of another process than the command does
    os.close(fd)
    status = second.stat()
    row = (os.fsencode(second.name), FileId.from_stat(status), status.st_nlink, None, None)
    harness.store.files.record(os.fsencode(harness.files), 1, [row])
    assert program.run("limits", "approve", "1", *REASON).returncode == 0
    (entry,) = harness.store.journal.load_due(Lane.UPLOAD, math.inf, 9)
    assert entry.path == os.fsencode(second)


def test_what_fails_when_a_flood_is_let_go_is_said(program: Program, harness: CaseHarness) -> None:
    for number in range(5):
        harness.apply(harness.file(f"{number}.png", uid=5000 + number))
    (program.home / "state/quarantine").rename(program.home / "away")
    (program.home / "state/quarantine").touch()  # nothing can be written in place of the vault
    result = program.run("limits", "approve", "1", *REASON)
    assert b"limit 1: 3 files approved\n3 actions failed" in result.stdout
    assert [location.state for location in harness.locations()][2:] == ["held"] * 3


def test_a_flood_is_stood_down_and_recalled(program: Program, harness: CaseHarness) -> None:
    paths = [harness.file(f"{number}.png", uid=5000 + number) for number in range(5)]
    for path in paths:
        harness.apply(path)
    assert program.run("limits", "discard", "1", *REASON).returncode == 0
    assert [location.state for location in harness.locations()][2:] == ["observed"] * 3
    assert harness.apply(harness.file("new.png", uid=6000)).value == "observe"
    assert at(paths[4]).exists()
    assert program.run("limits", "reinstate", "1", *REASON).returncode == 0
    left = [location for location in harness.locations() if location.state == "quarantined"]
    assert len(left) == 2 + 2, "the limit applies again"
    assert [
        line["decision"] for line in objects(program.run("limits", "list", "--json").stdout)
    ] == ["open"]
    everything = objects(program.run("limits", "list", "--all", "--json").stdout)
    assert {line["decision"] for line in everything} == {"open", "recalled"}


def test_the_key_file_is_private_and_never_overwritten(program: Program, key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_text()
    assert program.run("quarantine", "keygen", "key.txt").returncode == 2
    assert key.read_text() == before
    result = program.run("quarantine", "keygen", "-")
    assert b"AGE-SECRET-KEY-1" in result.stdout


def test_an_entry_that_is_out_of_sight_is_given_up_with_a_reason(
    program: Program, harness: CaseHarness
) -> None:
    harness.apply(harness.file("a.png"))
    (location,) = harness.locations()
    (program.home / "state/quarantine/open" / location.vault).write_text("taking\n")
    (program.home / "far").mkdir()
    harness.files.rename(program.home / "far/files")
    assert program.run("quarantine", "verify").returncode == 2
    assert program.run("quarantine", "abandon", location.vault).returncode == 2, "a reason"
    result = program.run("quarantine", "abandon", "0" * 16, *REASON)
    assert (result.returncode, b"verify" in result.stderr) == (2, True)
    result = program.run("quarantine", "abandon", location.vault, *REASON)
    assert (result.returncode, b"abandoned" in result.stdout) == (0, True), result
    assert program.run("quarantine", "verify").returncode == 0
    (entry,) = [entry for entry in harness.audit.entries() if entry.act == "given-up"]
    assert (entry.facts["vault"], entry.facts["reason"]) == (location.vault, "because it is a test")


def test_a_damaged_vault_is_found(program: Program, harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    (sealed,) = (program.home / "state" / "quarantine").rglob("content.age")
    with sealed.open("r+b") as file:
        file.seek(30)
        file.write(b"x")
    result = program.run("quarantine", "verify")
    assert (result.returncode, b"WRONG" in result.stdout) == (2, True)


def test_the_audit_log_is_shown_verified_and_compared(
    program: Program, harness: CaseHarness
) -> None:
    harness.apply(harness.file("a.png"))
    path = program.home / "kept"
    path.write_bytes(program.run("audit", "checkpoint").stdout)
    program.run("cases", "note", "1", "x")
    kept_json = program.home / "kept.json"
    kept_json.write_bytes(program.run("audit", "checkpoint", "--json").stdout)
    for file_path in (path, kept_json):
        assert program.run("audit", "verify", "--checkpoint", file_path).returncode == 0
    entries = objects(program.run("audit", "show", "--json").stdout)
    assert [line["act"] for line in entries] == ["case-opened", "found", "quarantined", "noted"]
    latest = objects(program.run("audit", "show", "-n", "1", "--json").stdout)
    assert [line["type"] for line in latest] == ["entry", "cut"], "and that it is cut"
    (noted,) = objects(program.run("audit", "show", "--act", "noted", "--json").stdout)
    assert noted["facts"]["text"] == "x"
    result = program.run("audit", "show", "--act", "note")
    assert (result.returncode, b"noted" in result.stderr) == (2, True), "a wrong word is reported"
    assert program.run("audit", "show", "--act", "destroyed").stdout == b"No matching entries.\n"
    log = program.home / "state" / "audit.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    result = program.run("audit", "verify")
    assert (result.returncode, b"it lacks entry 4" in result.stdout) == (2, True)
    result = program.run("audit", "verify", "--checkpoint", kept_json)
    assert (result.returncode, b"of the checkpoint are missing" in result.stdout) == (2, True)
    log.write_bytes(lines[0] + lines[2])
    result = program.run("audit", "verify")
    assert (result.returncode, b"BROKEN at line 2" in result.stdout) == (2, True)
    log.write_bytes(lines[0] + bytes(8 << 20))
    result = program.run("audit", "verify")
    assert (result.returncode, b"BROKEN at line 2" in result.stdout) == (2, True)
    path.write_text("nonsense\n")
    assert program.run("audit", "verify", "--checkpoint", path).returncode == 2


def test_changes_of_lists_are_in_the_audit_log(program: Program) -> None:
    value = "0123456789abcdef" * 4
    program.run("lists", "import", "police", "-", given=f"pdq {value}\n".encode())
    program.run("lists", "set-radius", "police", "pdq", "8")
    program.run("lists", "remove", "police")
    output = program.run("audit", "show", "--json").stdout
    assert value.encode() not in output
    acts = [(line["act"], line["facts"]["list"]) for line in objects(output)]
    assert acts == [
        ("list-imported", "police"),
        ("list-changed", "police"),
        ("list-removed", "police"),
    ]

"""The ``cases`` commands as an administrator types them."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from support.cases import CaseHarness, at
from support.program import Program, objects

REASON = ("--reason", "because it is a test")


def test_a_sealed_file_is_listed_shown_and_restored(
    program: Program, harness: CaseHarness, key: Path
) -> None:
    path = harness.file(b"a\xff\x1b.png", b"known content")
    at(path).chmod(0o640)
    harness.apply(path)
    (listed,) = objects(program.run("cases", "list", "--state", "open", "--json").stdout)
    assert (listed["type"], listed["case"], listed["files_total"]) == ("case", 1, 1)
    output = program.run("cases", "show", "1").stdout.decode()
    assert "csam  hashlist/police #17  sha256 equal" in output
    assert "a\\xff\\x1b.png" in output
    assert "known content" not in output
    assert program.run("cases", "show", harness.case().key, "--json").returncode == 0
    result = program.run("cases", "restore", "1")
    assert (result.returncode, b"--identity" in result.stderr) == (2, True)
    result = program.run("cases", "restore", "1", "--identity", key)
    assert (result.returncode, result.stderr) == (0, b"")
    assert at(path).read_bytes() == b"known content"
    assert stat.S_IMODE(at(path).stat().st_mode) == 0o640
    assert harness.apply(path).value == "allow", "it is not acted on there"
    assert at(path).exists()
    assert program.run("cases", "restore", "1", "--identity", key).returncode == 2


def test_a_file_is_restored_to_another_path(
    program: Program, harness: CaseHarness, key: Path
) -> None:
    for name in ("a.png", "b.png"):
        harness.apply(harness.file(name))
    words = ("cases", "restore", "1", "--identity", key, "--to", "elsewhere")
    assert program.run(*words).returncode == 2
    result = program.run(*words, "--file", "2", "--json")
    assert result.returncode == 0, result.stderr
    (document,) = objects(result.stdout)
    assert (document["file"], document["done"]) == (2, True)
    assert (program.home / "elsewhere").read_bytes() == b"known"


def test_a_wrong_key_restores_nothing(program: Program, harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    program.run("quarantine", "keygen", "other.txt")
    result = program.run("cases", "restore", "1", "--identity", "other.txt")
    assert result.returncode == 2
    assert b"NOT DONE, wrong-key" in result.stdout
    (place,) = harness.locations()
    assert place.state == "quarantined"
    assert program.run("quarantine", "verify").returncode == 0


def test_restore_recreates_a_missing_directory_on_request(
    program: Program, harness: CaseHarness, key: Path
) -> None:
    (harness.files / "album").mkdir(mode=0o750)
    path = harness.file("album/a.png")
    harness.apply(path)
    at(path).parent.rmdir()
    result = program.run("cases", "restore", "1", "--identity", key)
    assert (result.returncode, b"NOT DONE, no-parent" in result.stdout) == (2, True)
    assert b"--parents" in result.stdout
    result = program.run("cases", "restore", "1", "--identity", key, "--parents")
    assert (result.returncode, at(path).read_bytes()) == (0, b"known")
    assert stat.S_IMODE(at(path).parent.stat().st_mode) == 0o750


def test_files_sealed_for_different_keys_are_restored_together(
    program: Program, harness: CaseHarness, key: Path
) -> None:
    """The key changed in between: files sealed earlier need the old one."""
    old, new = harness.file("a.png"), harness.file("b.png")
    harness.apply(old)
    program.run("quarantine", "keygen", "new.txt")
    public = (program.home / "new.txt").read_text().split("public key: ")[1].split()[0]
    harness.seal_for(public)
    harness.apply(new)
    listed = objects(program.run("quarantine", "list", "--json").stdout)
    assert {line["recipients"][0] for line in listed} == {harness.keys.public, public}
    result = program.run("cases", "restore", "1", "--identity", "new.txt")
    assert (result.returncode, b"NOT DONE, wrong-key" in result.stdout) == (2, True)
    assert (at(old).exists(), at(new).exists()) == (False, True)
    result = program.run("cases", "restore", "1", "--identity", key, "--identity", "new.txt")
    assert (result.returncode, at(old).exists()) == (0, True)


@pytest.mark.parametrize("number", ["9", "3"])
def test_a_place_that_is_not_so_is_named(
    program: Program, harness: CaseHarness, key: Path, number: str
) -> None:
    """It is reported, and nothing is done to the others."""
    for uid, name in enumerate(("a.png", "b.png", "c.png"), 5000):
        harness.apply(harness.file(name, uid=uid))
    assert [location.state for location in harness.locations()][2:] == ["waiting"]
    words = ("cases", "restore", "1", "--identity", key, "--file", "1", "--file", number)
    result = program.run(*words)
    assert (result.returncode, f"file {number} of case 1".encode() in result.stderr) == (2, True)
    assert harness.locations()[0].state == "quarantined"


@pytest.mark.parametrize(
    "words",
    [("note", "1", " "), ("close", "1", "--reason", ""), ("destroy", "1", "--yes", "--reason", "")],
)
def test_a_reason_that_says_nothing_is_none(
    program: Program, harness: CaseHarness, words: tuple[str, ...]
) -> None:
    harness.apply(harness.file("a.png"))
    result = program.run("cases", *words)
    assert (result.returncode, b"is empty" in result.stderr) == (2, True)
    assert [place.state for place in harness.locations()] == ["quarantined"]


def test_what_is_destroyed_before_the_rest_says_so(program: Program, harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    harness.clock.now = 4_000_000_000.0
    harness.apply(harness.file("b.png"))
    result = program.run("cases", "destroy", "1", *REASON, "--yes")
    assert (result.returncode, b"1 more file to be kept until" in result.stdout) == (0, True)
    assert [place.state for place in harness.locations()] == ["destroyed", "quarantined"]
    assert harness.case().state == "open"


def test_destroying_the_sealed_copy_keeps_the_release(
    program: Program, harness: CaseHarness
) -> None:
    harness.apply(harness.file("a.png"))
    assert program.run("cases", "release", "1", *REASON, "--keep-sealed").returncode == 0
    assert program.run("cases", "destroy", "1", *REASON, "--yes").returncode == 0
    assert harness.case().state == "released"
    assert harness.apply(harness.file("b.png")).value == "allow"


def test_a_new_file_at_the_path_is_never_overwritten(
    program: Program, harness: CaseHarness, key: Path
) -> None:
    path = harness.file("a.png")
    harness.apply(path)
    harness.file("a.png", b"new and harmless")
    result = program.run("cases", "restore", "1", "--identity", key)
    assert (result.returncode, b"NOT DONE, taken" in result.stdout) == (2, True)
    assert at(path).read_bytes() == b"new and harmless"


def test_released_means_everything_is_back_and_left_alone(
    program: Program, harness: CaseHarness, key: Path
) -> None:
    paths = [harness.file(f"{number}.png", uid=5000 + number) for number in range(4)]
    for path in paths:
        harness.apply(path)
    assert [location.state for location in harness.locations()] == [
        *["quarantined"] * 2,
        *["waiting"] * 2,
    ]
    assert program.run("cases", "release", "1", "--identity", key).returncode == 2, "a reason"
    result = program.run("cases", "release", "1", "--identity", key, *REASON)
    assert result.returncode == 0, result.stdout
    assert all(at(path).exists() for path in paths)
    for path in paths:
        assert harness.apply(path).value == "allow"
    assert harness.apply(harness.file("new.png")).value == "allow"
    (document,) = objects(program.run("cases", "show", "1", "--json").stdout)
    assert document["state"] == "released"
    assert "because it is a test" in document["notes"][0]["text"]
    assert program.run("cases", "close", "1", *REASON).returncode == 0
    assert harness.apply(harness.file("newer.png")).value == "observe", "the check still applies"
    assert harness.case().state == "open"


def test_destruction_asks_keeps_its_time_and_leaves_a_receipt(
    program: Program, harness: CaseHarness
) -> None:
    harness.apply(harness.file("a.png"))
    (place,) = harness.locations()
    harness.clock.now += 1
    result = program.run("cases", "destroy", "1", *REASON)
    assert (result.returncode, b"--yes" in result.stderr) == (2, True)
    result = program.run("cases", "destroy", "1", *REASON, "--yes", "--json")
    assert result.returncode == 0, result.stderr
    (document,) = objects(result.stdout)
    assert (document["state"], document["receipt"]["vault"]) == ("destroyed", place.vault)
    assert document["receipt"]["sha256"] == harness.case().key
    assert harness.case().state == "closed"
    entry = [entry for entry in harness.audit.entries() if entry.act == "destroyed"][-1]
    assert entry.facts["receipt"] == document["receipt"]
    assert entry.facts["reason"] == "because it is a test"
    (sealed,) = objects(program.run("quarantine", "list", "--json").stdout)
    assert sealed["state"] == "destroyed"
    assert sealed["ended"]["why"] == "because it is a test"
    assert program.run("cases", "destroy", "1", *REASON, "--yes").returncode == 2


def test_what_is_to_be_kept_is_not_destroyed_before_its_time(
    program: Program, harness: CaseHarness
) -> None:
    harness.clock.now = 4_000_000_000.0
    harness.apply(harness.file("a.png"))
    assert program.run("cases", "list", "--expired", "--json").stdout == b""
    result = program.run("cases", "destroy", "1", *REASON, "--yes")
    assert (result.returncode, b"must be kept until" in result.stderr) == (2, True)
    assert (
        program.run("cases", "destroy", "1", *REASON, "--yes", "--ignore-retention").returncode == 0
    )


def test_expired_names_what_may_be_destroyed(program: Program, harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    (listed,) = objects(program.run("cases", "list", "--expired", "--json").stdout)
    assert listed["case"] == 1
    assert program.run("cases", "list", "--since", "1d", "--json").stdout == b""
    assert program.run("cases", "list", "--since", "2020-01-01", "--json").stdout != b""
    assert program.run("cases", "list", "--since", "sometimes").returncode == 2
    assert program.run("cases", "list", "--root", "other", "--json").stdout == b""
    assert program.run("cases", "list", "--root", "www", "--json").stdout != b""


def test_notes_are_kept_with_their_author(program: Program, harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    result = program.run("cases", "note", "1", "reported \x1b[31m", SUDO_USER="anna")
    assert result.returncode == 0
    output = program.run("cases", "show", "1").stdout
    assert b"(sudo: anna): reported \\x1b[31m" in output
    assert b"\x1b" not in output


def test_notes_of_a_case_are_in_its_json(program: Program, harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    (noted,) = objects(program.run("cases", "note", "1", "reported", "--json").stdout)
    (closed,) = objects(program.run("cases", "close", "1", *REASON, "--json").stdout)
    assert [noted["state"], closed["state"]] == ["open", "closed"]
    assert [note["text"] for note in closed["notes"]] == [
        "reported",
        "case-closed: because it is a test",
    ]


def test_a_case_that_is_not_there_is_an_error(program: Program, harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    for name in ("2", "x", "0" * 64, "9" * 63):
        assert program.run("cases", "show", name).returncode == 2


def test_without_a_state_there_is_nothing_to_list(program: Program) -> None:
    assert program.run("cases", "list").stdout == b"No matching cases.\n"
    assert program.run("limits", "list").stdout == b"No action is paused.\n"
    assert program.run("quarantine", "list").stdout == b"The vault is empty.\n"
    assert program.run("audit", "verify").returncode == 0
    assert program.run("cases", "show", "1").returncode == 2
    assert not (program.home / "state").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_types_leaves_the_state_to_its_owner(
    program: Program, harness: CaseHarness
) -> None:
    state = program.home / "state"
    for path in (state, *state.iterdir()):
        os.chown(path, 65534, 65534)
    harness.audit.path.unlink(missing_ok=True)
    (state / "cases.lock").unlink(missing_ok=True)
    harness.apply(harness.file("a.png"))
    program.run("cases", "close", "1", *REASON)
    for name in ("audit.jsonl", "cases.lock", "state.db-wal"):
        assert (state / name).stat().st_uid == 65534, name


def test_json_of_a_case_has_one_shape(program: Program, harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    (document,) = objects(program.run("cases", "show", "1", "--json").stdout)
    (notice,) = harness.notices
    assert json.loads(notice.case) == document

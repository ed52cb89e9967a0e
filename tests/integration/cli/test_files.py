"""``hash``, ``check``, ``explain`` and ``lists`` on real files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from PIL import Image

from hashwacht.core.paths import from_json
from support.program import Program, objects


@pytest.fixture
def picture(program: Program) -> Path:
    """Write a picture with enough detail for every hash."""
    file = program.home / "picture.png"
    Image.effect_noise((300, 200), 80).convert("RGB").save(file)
    return file


def signals(program: Program, file: Path) -> dict[str, str]:
    """Return the signals that ``hash`` prints."""
    lines = program.run("hash", file).stdout.decode().splitlines()
    return dict(line.split()[0].split(":") for line in lines)


def test_hash_prints_digests_and_picture_hashes(program: Program, picture: Path) -> None:
    hashes = signals(program, picture)
    assert set(hashes) == {"md5", "sha1", "sha256", "pdq", "phash64", "dhash64"}
    content = picture.read_bytes()
    assert hashes["md5"] == hashlib.md5(content).hexdigest()
    assert hashes["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(hashes["pdq"]) == 64


def test_hash_prints_json(program: Program, picture: Path) -> None:
    hostile = os.fsencode(program.home) + b"/a\x1b\n\xff.png"
    os.link(picture, hostile)
    (document,) = objects(program.run("hash", "--json", hostile).stdout)
    assert from_json(document) == hostile
    assert document["kind"] == "image/png"
    assert document["size"] == picture.stat().st_size
    assert {signal["type"] for signal in document["signals"]} >= {"md5", "pdq"}


def test_hash_takes_standard_input(program: Program, picture: Path) -> None:
    result = program.run("hash", "-", given=picture.read_bytes())
    assert result.returncode == 0
    assert hashlib.sha256(picture.read_bytes()).hexdigest().encode() in result.stdout


def test_an_unreadable_file_does_not_stop_hash(program: Program, picture: Path) -> None:
    os.mkfifo(program.home / "fifo")
    result = program.run("hash", "none", "fifo", picture)
    assert result.returncode == 3
    assert b"none: No such file" in result.stderr
    assert b"fifo: not a regular file" in result.stderr
    assert b"pdq:" in result.stdout
    (document,) = objects(program.run("hash", "--json", "none").stderr)
    assert (document["type"], document["path"]) == ("unreadable", "none")


def test_check_reports_a_known_picture_in_its_exit_code(program: Program, picture: Path) -> None:
    path = program.home / "other.txt"
    path.write_text("nothing")
    lines = f"pdq {signals(program, picture)['pdq']}\nmd5 {'0' * 32}\n".encode()
    result = program.run("lists", "import", "known", "-", given=lines)
    assert result.returncode == 0, result.stderr
    result = program.run("check", picture, path)
    assert result.returncode == 1
    match, no_match = result.stdout.decode().splitlines()
    assert match.startswith("match ")
    assert "hashlist/known" in match
    assert "pdq equal" in match
    assert match.endswith(str(picture))
    assert no_match.startswith("no match ")
    assert program.run("check", path).returncode == 0
    (document,) = objects(program.run("check", "--json", "-", given=picture.read_bytes()).stdout)
    assert document["type"] == document["outcome"] == "match"


def test_check_never_says_no_match_of_what_it_could_not_ask(
    program: Program, picture: Path
) -> None:
    assert program.run("check", picture).returncode in {3, 4}
    result = program.run("check", "none")
    assert result.returncode == 3
    assert result.stdout.startswith(b"undetermined  unreadable (No such file")


def test_check_and_scan_fail_without_any_list(program: Program, picture: Path) -> None:
    assert program.run("check", picture).returncode == 4
    assert program.run("scan", "--normal-priority", picture).returncode == 4


def test_a_scan_of_nothing_is_no_run(program: Program) -> None:
    result = program.run("scan", "none")
    assert (result.returncode, b"no such file or directory: none" in result.stderr) == (2, True)
    assert program.run("scans", "--json").stdout == b""


def test_a_service_out_of_reach_has_an_exit_code_of_its_own(
    program: Program, picture: Path
) -> None:
    program.configuration.write_text(
        '[matchers.h]\nkind = "hma"\nbase_url = "http://127.0.0.1:9"\nretries = 0\n'
    )
    result = program.run("check", picture)
    assert result.returncode == 4
    assert b"unanswered" in result.stdout


def test_explain_names_the_rule_and_its_location(program: Program, picture: Path) -> None:
    program.configuration.write_text('[scan]\nexclude = ["*.txt", "*.png"]\n')
    result = program.run("explain", picture)
    assert result.returncode == 0
    assert result.stdout.decode() == (
        f"not scanned  {picture}\n"
        f"             excluded by a rule: *.png  ({program.configuration}, scan.exclude:2)\n"
    )
    (document,) = objects(program.run("explain", "--json", "--exclude", "!*.png", picture).stdout)
    assert document["scanned"]
    assert document["rule"]["pattern"] == "!*.png"


def test_explain_says_at_which_directory_it_was_decided(program: Program, picture: Path) -> None:
    root = program.home
    result = program.run("explain", "--root", root, "--exclude", f"/{root.name}/", picture)
    assert b"scanned      " in result.stdout
    result = program.run("explain", "--root", root.parent, "--exclude", f"{root.name}/", picture)
    assert f", at {root}\n".encode() in result.stdout


def test_a_list_lives_from_import_to_removal(program: Program) -> None:
    source = program.home / "list.csv"
    source.write_text("md5,id\n" + "".join(f"{number:032x},{number}\n" for number in range(7)))
    result = program.run("lists", "import", "police", source, "--json")
    assert objects(result.stdout)[0]["entries"] == 7
    (document,) = objects(program.run("lists", "show", "--json").stdout)
    assert (document["list"], document["category"], document["known_good"]) == (
        "police",
        "csam",
        False,
    )
    assert b"police: 7 entries, category csam" in program.run("lists", "show", "police").stdout
    assert program.run("lists", "verify").returncode == 0
    result = program.run("lists", "remove", "police")
    assert result.stdout == b"police: removed, 7 entries\n"
    assert b"No hash list is installed" in program.run("lists", "show").stdout


def test_a_list_is_imported_as_a_whole_or_not_at_all(program: Program) -> None:
    lines = f"md5 {1:032x}\nnonsense\n".encode()
    result = program.run("lists", "import", "police", "-", given=lines)
    assert result.returncode == 2
    assert b"line 2" in result.stderr
    assert program.run("lists", "show", "police").returncode == 2
    result = program.run("lists", "import", "police", "-", "--allow-malformed", given=lines)
    assert result.returncode == 0
    assert b"line 2 skipped" in result.stdout


def test_no_value_of_a_list_is_ever_printed(program: Program) -> None:
    value = "0123456789abcdef0123456789abcdef"
    calls = [
        program.run("lists", "import", "police", "-", given=f"md5 {value}\n".encode()),
        program.run("lists", "show"),
        program.run("lists", "verify"),
        program.run("lists", "import", "other", "-", given=f"md6 {value}\n".encode()),
        program.run("lists", "remove", "police"),
    ]
    assert all(value.encode() not in result.stdout + result.stderr for result in calls)


def test_columns_and_radii_are_understood_or_refused(program: Program) -> None:
    content = f"Hash;Case\n{'a1b2c3d4e5f60718' * 4};7\n".encode()
    words = ["lists", "import", "hotline", "-", "--type", "pdq", "--column", "value=Hash"]
    result = program.run(*words, "--column", "id=Case", "--radius", "pdq=20", given=content)
    assert result.returncode == 0, result.stderr
    assert b"up to 20 bits off" in program.run("lists", "show").stdout
    assert b"up to 8 bits off" in program.run("lists", "set-radius", "hotline", "pdq", "8").stdout
    for wrong in (["--radius", "pdq=x"], ["--column", "colour=x"], ["--column", "value"]):
        assert program.run(*words, *wrong, given=content).returncode == 2


def test_a_damaged_list_is_found_by_verify(program: Program) -> None:
    program.run("lists", "import", "police", "-", given=f"md5 {1:032x}\n".encode())
    (index,) = (program.home / "state" / "lists").glob("police@*/md5.index")
    index.write_bytes(index.read_bytes()[:-1])
    result = program.run("lists", "verify")
    assert result.returncode == 2
    assert b"FAIL" in result.stdout
    assert b"Import the list again" in result.stdout

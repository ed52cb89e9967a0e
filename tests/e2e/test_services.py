"""Scans and rechecks with matching services: verdicts, categories and exit codes.

The services speak their protocols over real HTTP on loopback; the program is the installed one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.program import Program, objects, verdicts
from support.services.http_server import HttpServer
from support.services.service_storage import (
    ACCOUNT,
    KNOWN,
    NEAR,
    NOTE,
    NOTHING,
    OTHER,
    furnish,
    md5,
)
from support.services.services import Arachnid, Eokm, Hma


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return furnish(tmp_path / "storage")


@pytest.fixture
def known_pdq(program: Program) -> str:
    [document] = objects(program.run("hash", "--json", "-", given=KNOWN).stdout)
    return next(str(signal["value"]) for signal in document["signals"] if signal["type"] == "pdq")


def matched_by(lines: list[dict[str, Any]], name: str) -> set[tuple[str, str, str]]:
    """Return the matchers that list a file, with category and signal."""
    [line] = [line for line in lines if line.get("path", "").endswith(f"/{name}")]
    return {(m["matcher"], m["category"], m["signal"]["type"]) for m in line["matches"]}


def test_eokm_knows_the_very_bytes(program: Program, storage: Path) -> None:
    service = Eokm(frozenset({md5(KNOWN)}), ACCOUNT)
    program.set_credentials(ACCOUNT.to_line(), "eokm")
    with HttpServer(service) as server:
        program.add_matcher("eokm", server.url)
        code, lines = program.scan(storage)
        assert code == 1
        assert verdicts(lines) == {b"known.jpg": "match", b"copy.jpg": "match"}
        assert matched_by(lines, "known.jpg") == {("eokm", "csam", "md5")}
        assert lines[-1]["lists"] == {"eokm": 2}
        assert sorted(service.asked) == sorted(map(md5, (KNOWN, NEAR, OTHER, NOTE)))
        code, lines = program.scan(storage)
        assert (code, lines[-1]["counts"]["matches"], lines[-1]["counts"]["lookups"]) == (1, 2, 0)
    assert len(service.asked) == 4, "valid answers are not requested again"


def test_the_test_list_is_another_one(program: Program, storage: Path) -> None:
    program.set_credentials(ACCOUNT.to_line(), "eokm")
    service = Eokm(frozenset({md5(KNOWN)}), ACCOUNT, known_test=frozenset({md5(NOTE)}))
    with HttpServer(service) as server:
        program.add_matcher("eokm", server.url, "use_test_list = true")
        code, lines = program.scan(storage)
    assert (code, verdicts(lines)) == (1, {b"note.txt": "match"})


def test_hma_knows_what_looks_alike_and_cannot_judge_a_text(
    program: Program, storage: Path, known_pdq: str
) -> None:
    with HttpServer(Hma({"BANK": {f"pdq:{known_pdq}": 7}})) as server:
        program.add_matcher("hma", server.url)
        code, lines = program.scan(storage)
        assert code == 1
        assert verdicts(lines) == {
            b"known.jpg": "match",
            b"copy.jpg": "match",
            b"near.webp": "match",
            b"note.txt": "undetermined",
        }
        [match] = next(line["matches"] for line in lines if "near.webp" in line.get("path", ""))
        assert (match["list"], match["id"], match["distance"] < 31) == ("BANK", "7", True)
        [note] = [line for line in lines if line["type"] == "undetermined"]
        assert note["reason"] == "not-judged"
        for name in ("known.jpg", "sub/copy.jpg", "near.webp"):
            (storage / name).unlink()
        assert program.scan(storage)[0] == 3


def test_arachnid_keeps_its_classifications_apart(
    program: Program, storage: Path, known_pdq: str
) -> None:
    program.set_credentials(ACCOUNT.to_line(), "arachnid")
    [other_picture] = objects(program.run("hash", "--json", storage / "other.png").stdout)
    other_pdq = next(
        signal["value"] for signal in other_picture["signals"] if signal["type"] == "pdq"
    )
    categories = {known_pdq: "csam", other_pdq: "harmful-abusive-material"}
    with HttpServer(Arachnid(categories, ACCOUNT)) as server:
        program.add_matcher("arachnid", server.url)
        code, lines = program.scan(storage)
    assert code == 1
    assert matched_by(lines, "known.jpg") == {("arachnid", "csam", "pdq")}
    assert matched_by(lines, "other.png") == {("arachnid", "harmful-abusive-material", "pdq")}


def test_all_kinds_side_by_side(program: Program, storage: Path, known_pdq: str) -> None:
    program.set_credentials(ACCOUNT.to_line(), "eokm", "arachnid")
    (storage.parent / "list").write_text(f"md5 {md5(NOTE)}\nsha256 {'0' * 64}\n")
    assert program.run("lists", "import", "ours", storage.parent / "list").returncode == 0
    with (
        HttpServer(Eokm(frozenset({md5(KNOWN)}), ACCOUNT)) as eokm,
        HttpServer(Hma({"BANK": {f"pdq:{known_pdq}": 7}})) as hma,
        HttpServer(Arachnid({known_pdq: "csam"}, ACCOUNT)) as arachnid,
    ):
        program.add_matcher("hashlist", "")
        program.add_matcher("eokm", eokm.url)
        program.add_matcher("hma", hma.url)
        program.add_matcher("arachnid", arachnid.url)
        code, lines = program.scan(storage)
        doctor = program.run("doctor", "--json")
    assert code == 1
    assert matched_by(lines, "known.jpg") == {
        ("eokm", "csam", "md5"),
        ("hma", "csam", "pdq"),
        ("arachnid", "csam", "pdq"),
    }
    assert ("hma", "csam", "pdq") in matched_by(lines, "near.webp")
    assert {name for name, *_ in matched_by(lines, "note.txt")} == {"hashlist"}
    assert verdicts(lines).keys().isdisjoint({b"other.png"})
    findings = {line["subject"]: line["ok"] for line in objects(doctor.stdout)}
    assert findings["eokm"] is findings["hma"] is findings["arachnid"] is True, findings


def test_nothing_known_ends_with_0(program: Program, storage: Path) -> None:
    program.set_credentials(ACCOUNT.to_line(), "eokm")
    with HttpServer(Eokm(NOTHING, ACCOUNT)) as server:
        program.add_matcher("eokm", server.url)
        code, lines = program.scan(storage)
    assert (code, verdicts(lines), lines[-1]["counts"]["files"]) == (0, {}, 5)

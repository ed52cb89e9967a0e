"""``scan --profile`` tells where the time went."""

from __future__ import annotations

from pathlib import Path

from support.program import Program, objects


def test_profile_names_every_part_and_the_kinds_of_contents(program: Program) -> None:
    root = program.home / "storage"
    root.mkdir()
    for number in range(3):
        Path(root / f"{number}.txt").write_text(f"text {number}")
    told = program.run("scan", "--profile", "--json", root).stdout
    (profile,) = [each for each in objects(told) if each["type"] == "profile"]
    parts = profile["parts"]
    assert {each["part"] for each in parts} == {
        *("walk", "state, asked", "read, digest, decode, hash", "match", "state, written")
    }
    assert [each["kind"] for each in parts if each["kind"]] == ["text/plain"]
    assert all(each["seconds"] > 0 for each in parts)
    shown = program.run("scan", "--profile", root).stderr.decode()
    assert "Time by step" in shown
    assert "walk" in shown
    assert "Time by step" not in program.run("scan", root).stderr.decode()

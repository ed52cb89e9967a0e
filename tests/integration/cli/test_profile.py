"""``scan --profile`` shows how the time was spent."""

from __future__ import annotations

from pathlib import Path

from support.program import Program, objects


def test_profile_names_every_part_and_the_kinds_of_contents(program: Program) -> None:
    root = program.home / "storage"
    root.mkdir()
    for number in range(3):
        Path(root / f"{number}.txt").write_text(f"text {number}")
    output = program.run("scan", "--profile", "--json", root).stdout
    (profile,) = [line for line in objects(output) if line["type"] == "profile"]
    parts = profile["parts"]
    assert {part["part"] for part in parts} == {
        *("walk", "state, asked", "read, digest, decode, hash", "match", "state, written")
    }
    assert [part["kind"] for part in parts if part["kind"]] == ["text/plain"]
    assert all(part["seconds"] > 0 for part in parts)
    text = program.run("scan", "--profile", root).stderr.decode()
    assert "Time by step" in text
    assert "walk" in text
    assert "Time by step" not in program.run("scan", root).stderr.decode()

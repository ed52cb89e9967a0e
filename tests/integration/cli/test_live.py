"""The display of a run on a terminal, in a pipe, and as JSON."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from support.program import PROGRAM, Program, objects


@pytest.fixture
def storage(program: Program) -> Path:
    """Write a storage with a listed picture, a file, and a hostile name."""
    root = program.home / "storage"
    root.mkdir()
    Image.effect_noise((300, 200), 80).convert("RGB").save(root / "known.png")
    (root / "other.txt").write_text("nothing")
    (root / "a\x1b]0;owned\x07").write_text("nothing else")
    text = program.run("hash", root / "known.png").stdout.decode()
    entry = next(line for line in text.splitlines() if line.startswith("pdq:")).split()[0]
    extra = f"md5 {'0' * 32}\n"
    program.run("lists", "import", "known", "-", given=f"{entry}\n{extra}".encode())
    return root


def on_terminal(program: Program, *arguments: str | Path, stdout: int | None = None) -> str:
    """Run the program on a terminal of 100 columns; return its output."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments],
        env={**program.environment, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"},
        stdin=slave,
        stdout=slave if stdout is None else stdout,
        stderr=slave,
    )
    os.close(slave)
    output = b""
    try:
        while chunk := os.read(master, 4096):
            output += chunk
    except OSError:
        pass  # the other end was closed, which Linux reports as EIO
    process.wait(timeout=30)
    os.close(master)
    return output.decode()


def plain(sent: str) -> str:
    """Remove cursor movements and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent)


def test_a_terminal_gets_a_live_display_and_its_cursor_back(
    program: Program, storage: Path
) -> None:
    output = on_terminal(program, "scan", storage)
    assert "\x1b[?25l" in output
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
    assert "scanning for" in plain(output)
    assert "hashlist/known" in plain(output)
    assert "finished after" in plain(output)
    assert "]0;owned\x07" not in output


def test_results_go_to_the_file_and_the_display_to_the_terminal(
    program: Program, storage: Path
) -> None:
    file = program.home / "results"
    with file.open("wb") as out:
        output = on_terminal(program, "scan", storage, stdout=out.fileno())
    assert "hashlist/known" not in output
    assert "hashlist/known" in file.read_text()
    assert "\x1b" not in file.read_text()


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(program: Program, storage: Path) -> None:
    program.environment["TERM"] = "dumb"
    master, slave = pty.openpty()
    process = subprocess.run(
        [PROGRAM, "scan", storage],
        env=program.environment,
        stdout=subprocess.PIPE,
        stderr=slave,
        check=False,
    )
    os.close(slave)
    output = os.read(master, 4096)
    os.close(master)
    assert process.returncode == 1
    assert b"\x1b" not in output
    assert output.startswith(b"run 1 started")


def test_a_pipe_gets_plain_lines_apart_from_each_other(program: Program, storage: Path) -> None:
    result = program.run("scan", storage)
    assert result.returncode == 1
    assert result.stdout.startswith(b"match         csam  hashlist/known")
    assert b"finished after" in result.stdout
    assert result.stderr.decode() == f"run 1 started: {storage}\n"


def test_a_program_gets_json_lines_and_nothing_else(program: Program, storage: Path) -> None:
    result = program.run("scan", "--json", storage)
    results = objects(result.stdout)
    assert [result["type"] for result in results if result["type"] == "match"] == ["match"]
    assert results[-1]["type"] == "summary"
    assert results[-1]["counts"]["files"] == 3
    assert {line["type"] for line in objects(result.stderr)} <= {"started", "progress"}
    assert {line["v"] for line in [*results, *objects(result.stderr)]} == {1}


def test_a_report_of_a_real_scan_is_written(program: Program, storage: Path) -> None:
    report = program.home / "report.html"
    result = program.run("scan", "--report", report, storage)
    assert result.returncode == 1, result.stderr
    assert report.stat().st_mode & 0o777 == 0o600
    page = report.read_text()
    assert str(storage / "known.png") in page
    assert "hashlist / known" in page
    assert "image/png" in page


def test_scans_lists_the_runs(program: Program, storage: Path) -> None:
    assert b"No scans yet" in program.run("scans").stdout
    program.run("scan", storage)
    text = program.run("scans").stdout.decode()
    assert f"scan  finished  {storage}" in text
    assert "3 files" in text
    assert "1 match" in text
    (document,) = objects(program.run("scans", "--json").stdout)
    assert (document["type"], document["kind"], document["state"]) == ("run", "scan", "finished")
    assert document["counts"]["matches"] == 1

"""``hashwacht credentials``: stored, located and removed, never printed."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

from support.program import PROGRAM, Program, objects


def test_a_line_on_standard_input_is_stored_for_its_owner_alone(program: Program) -> None:
    result = program.run("credentials", "set", "eokm", given=b"somebody:s3cret\n")
    assert result.returncode == 0
    stored = program.home / "credentials" / "eokm"
    assert stored.read_text() == "somebody:s3cret\n"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert b"s3cret" not in result.stdout + result.stderr


def test_a_malformed_line_is_refused_without_showing_it(program: Program) -> None:
    result = program.run("credentials", "set", "eokm", given=b"s3cret\n")
    assert result.returncode == 2
    assert b"s3cret" not in result.stdout + result.stderr
    assert not (program.home / "credentials").exists()


def test_on_a_terminal_the_password_is_asked_for_unseen(program: Program) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "credentials", "set", "eokm"],
        env=program.environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    output = b""
    for prompt, answer in (
        (b"User", b"somebody\n"),
        (b"Password", b"s3cret\n"),
        (b"Repeat", b"s3cret\n"),
    ):
        while prompt not in output:
            output += os.read(master, 1000)
        os.write(master, answer)
    while b"stored in" not in output:
        output += os.read(master, 1000)
    assert process.wait(timeout=30) == 0
    os.close(master)
    assert b"s3cret" not in output
    assert (program.home / "credentials" / "eokm").read_text() == "somebody:s3cret\n"


def test_check_looks_for_all_that_matchers_need(program: Program, tmp_path: Path) -> None:
    assert program.run("credentials", "check").returncode == 0
    program.configuration.write_text(
        f'[credentials]\ndirectory = "{tmp_path}/c"\n[matchers.e]\nkind = "eokm"\n'
        '[matchers.a]\nkind = "arachnid"\n[matchers.h]\nkind = "hma"\n'
    )
    program.run("credentials", "set", "eokm", given=b"somebody:s3cret\n")
    result = program.run("credentials", "check", "--json")
    assert result.returncode == 2
    usable = {line["name"]: line["usable"] for line in objects(result.stdout)}
    assert usable == {"eokm": True, "arachnid": False}


def test_a_file_readable_by_others_is_refused_with_advice(program: Program) -> None:
    program.run("credentials", "set", "eokm", given=b"somebody:s3cret\n")
    (program.home / "credentials" / "eokm").chmod(0o644)
    result = program.run("credentials", "check", "eokm")
    assert result.returncode == 2
    assert b"0644" in result.stdout
    assert b"chmod 600" in result.stdout


def test_what_is_forgotten_is_gone(program: Program) -> None:
    program.run("credentials", "set", "eokm", given=b"somebody:s3cret\n")
    assert program.run("credentials", "remove", "eokm").returncode == 0
    assert not (program.home / "credentials" / "eokm").exists()
    result = program.run("credentials", "remove", "eokm")
    assert result.returncode == 2
    assert b"credentials check" in result.stderr

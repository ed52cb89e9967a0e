"""What all commands share: start-up, errors, exit codes, help."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hashwacht import __version__
from support.program import PROGRAM, Program, objects


def seconds(program: Program, *arguments: str) -> float:
    """Return the best of five runs, which other load affects least."""

    def once() -> float:
        began = time.perf_counter()
        program.run(*arguments)
        return time.perf_counter() - began

    return min(once() for _ in range(5))


@pytest.mark.alone  # measures time
def test_the_version_is_printed_in_a_tenth_of_a_second(program: Program) -> None:
    assert program.run("--version").stdout.decode() == f"hashwacht {__version__}\n"
    assert seconds(program, "--version") < 0.1


HEAVY = {"numpy", "PIL", "httpx", "aiohttp", "keyring", "jinja2", "rich"}


def heavy_modules(words: Sequence[str], environment: Mapping[str, str]) -> tuple[str, set[str]]:
    """Run a command in an interpreter; return its output and which of HEAVY it has loaded."""
    code = (
        f"import sys; sys.argv = {['hashwacht', *words]!r}\n"
        "from hashwacht.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, **environment}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return result.stdout, (HEAVY | {"sqlite3", "pathspec"}) & set(result.stderr.split())


def test_help_loads_no_heavy_modules() -> None:
    output, loaded = heavy_modules(["--help"], {})
    assert "Examples:" in output
    assert loaded == set()


@pytest.mark.parametrize("words", [["status"], ["cases", "list"], ["config", "check"]])
def test_what_reads_the_state_loads_no_heavy_modules(words: list[str], tmp_path: Path) -> None:
    """Such commands are run every minute, on servers with little to spare."""
    home = {"XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    _, loaded = heavy_modules(words, home)
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("words", [["scan"], ["lists", "import"], ["config", "show"], ["check"]])
def test_help_of_a_command_has_examples(program: Program, words: list[str]) -> None:
    result = program.run(*words, "--help")
    assert result.returncode == 0
    assert f"hashwacht {' '.join(words)}" in result.stdout.decode().partition("Examples:")[2]


def test_an_error_says_what_is_wrong_and_what_to_do_next(program: Program) -> None:
    result = program.run("lists", "show", "none")
    assert result.returncode == 2
    assert result.stdout == b""
    message, advice = result.stderr.decode().splitlines()
    assert message == "hashwacht: no hash list named 'none'"
    assert advice


def test_an_error_is_an_object_with_json(program: Program) -> None:
    result = program.run("lists", "show", "--json", "none")
    (document,) = objects(result.stderr)
    assert result.stdout == b""
    assert (document["v"], document["type"], document["exit_code"]) == (
        1,
        "error",
        result.returncode,
    )
    assert document["message"]
    assert document["advice"]


def test_a_mistyped_command_suggests_the_nearest_one(program: Program) -> None:
    result = program.run("scna", "/")
    assert result.returncode == 2
    assert b"did you mean scan?" in result.stderr
    assert b"hashwacht --help" in result.stderr


def test_a_mistyped_option_is_an_error_of_the_call(program: Program) -> None:
    result = program.run("scans", "--jsn")
    assert result.returncode == 2
    assert b"--json" in result.stderr


def test_common_options_count_before_and_after_the_command(
    program: Program, tmp_path: Path
) -> None:
    path = tmp_path / "other.toml"
    path.write_text("scan.jobs = 3\n")
    for words in (("--config", path, "config", "show"), ("config", "show", "--config", path)):
        assert b"jobs = 3" in program.run(*words).stdout


def test_an_internal_error_has_a_traceback_only_with_verbose(program: Program) -> None:
    """An operator's signal type that fails to import serves as the unexpected error."""
    broken = program.home / "broken"
    (broken / "broken-1.dist-info").mkdir(parents=True)
    (broken / "broken-1.dist-info" / "METADATA").write_text("Name: broken\nVersion: 1\n")
    (broken / "broken-1.dist-info" / "entry_points.txt").write_text(
        "[hashwacht.signal_types]\nbroken = broken:Broken\n"
    )
    (broken / "broken.py").write_text("raise RuntimeError('\\x1b]0;oops')\n")
    program.configuration.write_text('fingerprint.always_compute = ["broken"]\n')
    brief = program.run("config", "check", PYTHONPATH=str(broken))
    full = program.run("config", "check", "-v", PYTHONPATH=str(broken))
    assert (brief.returncode, full.returncode) == (2, 2)
    assert b"internal error: RuntimeError" in brief.stderr
    assert b"report it at https://" in brief.stderr
    assert b"Traceback" not in brief.stderr
    assert b"Traceback" in full.stderr
    assert b"\x1b" not in brief.stderr + full.stderr


def test_a_closed_output_pipe_is_no_error(program: Program) -> None:
    script = f"{PROGRAM} config example | head -1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(
        ["bash", "-c", f"for n in $(seq 5); do {script}; done"],
        env=program.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    assert set(result.stdout.splitlines()[1::2]) <= {"0", "2"}


def test_a_closed_pipe_ends_it_quietly_and_not_well(program: Program) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [PROGRAM, "config", "example"],
        env=program.environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert result.stderr == b""
    assert result.returncode == 2


def test_a_terminal_that_knows_no_such_letter_gets_an_escape(program: Program) -> None:
    program.configuration.write_text('[scan]\nexclude = ["größe", "✓"]\n')
    result = program.run("config", "show", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.returncode == 0
    assert b"\\u2713" in result.stdout


def test_an_interruption_ends_it_with_its_own_code(program: Program) -> None:
    """A command that waits for a password at a terminal is interrupted."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "credentials", "set", "eokm"],
        env=program.environment,
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    output = b""
    while b"User" not in output:
        output += os.read(master, 1000)
    while (
        process.poll() is None
    ):  # a signal right before it waits takes effect only with the next one
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
    assert process.returncode == 130
    assert process.stdout is not None
    assert process.stdout.read() == b""
    process.stdout.close()
    os.close(master)

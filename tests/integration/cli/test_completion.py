"""The completion scripts in their own shells."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from hashwacht.cli.app import COMMANDS
from support.program import Program

BASH = """
eval "$(hashwacht completion bash)"
COMP_WORDS=(hashwacht {words}) COMP_CWORD={at}
_hashwacht_completion hashwacht
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(program: Program, words: str) -> set[str]:
    """Complete the last word in a real bash."""
    script = BASH.format(words=words, at=len(words.split(" ")))
    result = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=program.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


def test_bash_completes_commands(program: Program) -> None:
    assert completed(program, "''") == set(COMMANDS)
    assert completed(program, "sc") == {"scan", "scans"}


def test_bash_completes_commands_below_commands_and_options(program: Program) -> None:
    assert completed(program, "lists re") == {"remove"}
    assert completed(program, "scan --js") == {"--json"}
    assert completed(program, "completion ''") == {"bash", "zsh", "fish"}


def test_fish_completes_commands(program: Program) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = "hashwacht completion fish | source; complete --do-complete 'hashwacht sc'"
    result = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env=program.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {line.split("\t")[0] for line in result.stdout.splitlines()} == {"scan", "scans"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_is_syntax_that_its_shell_reads(program: Program, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = program.run("completion", shell).stdout
    assert script
    subprocess.run([shell, "-n"], input=script, check=True)

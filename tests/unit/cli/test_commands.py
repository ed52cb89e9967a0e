"""What every command must provide: help, examples, exit codes, a manual page."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hashwacht.cli.app import COMMANDS, root
from hashwacht.cli.click_ext import Command, Group
from hashwacht.core.errors import ExitCode

PACKAGING = Path(__file__).parents[3] / "packaging"
MAN = runpy.run_path(str(PACKAGING / "man.py"))


def commands(context: click.Context) -> Iterator[tuple[str, click.Context]]:
    """Return all subcommands, groups included, by the words that call them."""
    group = context.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        with click.Context(command, info_name=name, parent=context) as below:
            yield below.command_path, below
            if isinstance(command, click.Group):
                yield from commands(below)


ALL = dict(commands(click.Context(root, info_name="hashwacht")))


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_help_examples_and_the_common_options(path: str) -> None:
    command = ALL[path].command
    assert isinstance(command, (Command, Group))
    assert command.help
    assert command.examples
    assert all(example.command_line and example.description for example in command.examples)
    names = {name for parameter in command.params for name in parameter.opts}
    assert {"--config", "--state-dir", "--verbose"} <= names
    for option in command.params:
        assert isinstance(option, click.Argument) or getattr(option, "help", None)


@pytest.mark.parametrize("path", ALL)
def test_every_example_is_a_call_that_would_be_understood(path: str) -> None:
    """An example with an option or command that no longer exists must not stay in the manual."""
    command = ALL[path].command
    assert isinstance(command, (Command, Group))
    for example in command.examples:
        words = shell_words(example.command_line)
        context: click.Context = click.Context(root, info_name="hashwacht")
        found: click.Command = root
        while isinstance(found, click.Group) and words:
            name, found_below, words = found.resolve_command(context, words)
            assert found_below is not None
            context = click.Context(found_below, info_name=name, parent=context)
            found = found_below
        found.make_context("example", words, resilient_parsing=False)


def test_installer_and_units_call_existing_commands() -> None:
    for file in (PACKAGING / "systemd").iterdir():
        for name in re.findall(r'bin/hashwacht"? ([a-z]+)', file.read_text()):
            assert name in COMMANDS, f"{file.name}: hashwacht {name}"


def shell_words(typed: str) -> list[str]:
    """Return the arguments of our program in a command line, up to the next operator."""
    import shlex

    words = shlex.split(typed.partition("hashwacht ")[2].replace(')"', ""))
    ends = [index for index, word in enumerate(words) if word in {"|", "&&", "<", ">"}]
    return words[: ends[0]] if ends else words


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_in_the_help_is_the_commands_own(name: str) -> None:
    help_ = ALL[f"hashwacht {name}"].command.help or ""
    assert " ".join(help_.split()).startswith(COMMANDS[name])


def test_every_exit_code_is_in_the_manual() -> None:
    assert set(MAN["EXIT_STATUS"]) == set(ExitCode)


def test_every_command_that_is_shown_has_a_page() -> None:
    pages = {
        f"{path.replace(' ', '-')}.1" for path, context in ALL.items() if not context.command.hidden
    }
    assert {name for name, _ in MAN["pages"]()} == {*pages, "hashwacht.1", "hashwacht.toml.5"}


def test_every_page_has_exit_status_environment_and_files() -> None:
    for name, page in MAN["pages"]():
        expected = {"NAME", "DESCRIPTION", "FILES", "SEE ALSO"}
        if name.endswith(".1"):
            expected |= {"SYNOPSIS", "OPTIONS", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT"}
        assert expected <= {line[4:] for line in page.splitlines() if line.startswith(".SH ")}


def test_a_strict_reader_finds_no_fault_in_the_pages(tmp_path: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    for name, page in MAN["pages"]():
        (tmp_path / name).write_text(page)
    read = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    # Pages contain no date, so that every build gives the same.
    faults = [line for line in read.stdout.splitlines() if "missing date" not in line]
    assert faults == []

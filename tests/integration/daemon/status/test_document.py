"""``docs/daemon.md`` is accurate: commands, events, units, exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from hashwacht.cli.app import root
from hashwacht.cli.commands.status import EXIT_CODES
from hashwacht.core.events import Event
from hashwacht.settings.show import example

CHECKOUT = Path(__file__).parents[4]
TEXT = (CHECKOUT / "docs" / "daemon.md").read_text()

COMMANDS = sorted(
    {
        " ".join(command.split())
        for pattern in (
            r"(?:^[#$] |&& )hashwacht ((?:[a-z-]+ ?)+)",
            r"`hashwacht\s((?:[a-z-]+\s?)+)",
        )
        for command in re.findall(pattern, TEXT, re.MULTILINE)
    }
)


def known(words: list[str]) -> bool:
    """Return whether the first words are a command that accepts the rest as arguments."""
    command: click.Command | None = root
    for word in words:
        if not isinstance(command, click.Group):
            return True
        with click.Context(command) as context:
            command = command.get_command(context, word)
        if command is None:
            return False
    return True


def test_the_commands_of_the_document_were_found() -> None:
    assert {"status", "units", "limits list", "audit verify"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_it_exists(command: str) -> None:
    assert known(command.split())


def test_every_option_in_it_exists() -> None:
    for line in re.findall(r"^# hashwacht (.*?)(?:  +#.*)?$", TEXT, re.MULTILINE):
        (first, *rest) = re.split(" && ", line)[0].split()
        command = root.get_command(click.Context(root), first)
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), rest.pop(0))
        assert command is not None
        options = {opt for parameter in command.params for opt in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options


def test_the_table_of_events_is_complete() -> None:
    codes = dict(re.findall(r"^\| `([a-z-]+)` \| `([0-9a-f]{32})` \|$", TEXT, re.MULTILINE))
    assert codes == {event.label: event.value for event in Event}


def test_the_table_of_exit_codes_is_right() -> None:
    codes = re.findall(r"^\| (\d) \| `([A-Z ]+)` \|", TEXT, re.MULTILINE)
    assert codes == [
        (str(int(code)), protection.value.upper().replace("-", " "))
        for protection, code in EXIT_CODES.items()
    ]


def test_every_setting_that_it_names_exists() -> None:
    keys = set(re.findall(r"`((?:daemon|hold|quarantine|alerts|fingerprint)\.[a-z_]+)`", TEXT))
    assert "daemon.metrics_file" in keys
    for key in keys:
        section, _, name = key.partition(".")
        assert f"[{section}]" in example()
        assert re.search(rf"^#?{name} = ", example(), re.MULTILINE) or f"[{key}]" in example()


def test_every_unit_that_it_names_exists() -> None:
    units = CHECKOUT / "packaging" / "systemd"
    for name in set(re.findall(r"hashwacht[a-z-]*\.(?:target|socket|service)", TEXT)):
        assert (units / name).exists(), name

"""``hashwacht config``: the effective settings, their origins, and the check for errors."""

from __future__ import annotations

import click

from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.text import escape_text
from hashwacht.settings import Configuration, InvalidConfiguration
from hashwacht.settings.show import SettingRow, rows, toml, toml_key
from hashwacht.settings.validate import LocatedFault, dotted

COLUMN = 44
"""Column of the origins, unless a value is longer."""


@click.group(
    cls=Group, examples=(Example("hashwacht config check", "Check the configuration for errors."),)
)
def config_command() -> None:
    """Show, check and explain the configuration."""


@command(
    Example("hashwacht config show", "Print every effective value with its origin, as TOML."),
    Example("hashwacht config show --json | jq .", "Print them as JSON."),
    json=True,
    name="show",
)
def show() -> None:
    """Print every effective value and where it came from.

    The output is a valid configuration without secrets: a configuration only names credentials.
    """
    call = global_options()
    configuration = call.configuration()
    if call.as_json:
        for row in rows(configuration):
            emit("setting", _fields(row))
        return
    _print_toml(configuration)


def _fields(row: SettingRow) -> dict[str, object]:
    return {
        "key": ".".join(toml_key(part) for part in (*row.table, row.key)),
        "value": row.value,
        "source": row.origin.source,
        "origin": str(row.origin),
    }


def _print_toml(configuration: Configuration) -> None:
    for file in configuration.files or ("no file, defaults only",):
        line(f"# {escape_text(str(file))}")
    table: tuple[str, ...] = ()
    for row in rows(configuration):
        if row.table != table:
            table = row.table
            line(f"\n[{'.'.join(toml_key(part) for part in table)}]")
        text = f"{row.key} = {toml(row.value)}"
        line(f"{text:{COLUMN}}  # {escape_text(str(row.origin))}")


@command(
    Example("hashwacht config check", "Check the configuration in use."),
    Example("hashwacht config check --config new.toml", "Check a file before installing it."),
    json=True,
    name="check",
)
def check() -> None:
    """Check the configuration and print all errors with line and nearest valid key.

    All files are checked: the main file, and the drop-ins in conf.d (of a FILE that is not named
    hashwacht.toml: in FILE.d).
    Contacts no service and writes nothing; `hashwacht doctor` checks more.
    """
    call = global_options()
    try:
        configuration = call.configuration()
    except InvalidConfiguration as error:
        if call.as_json:
            for fault in error.faults:
                emit("fault", _fault_fields(fault))
        raise
    _check_rules(configuration)
    _check_signal_types(configuration)
    file = str(configuration.file) if configuration.file else None
    if call.as_json:
        drop_ins = [str(drop_in) for drop_in in configuration.drop_ins]
        emit("configuration", {"file": file, "drop_ins": drop_ins, "faults": 0})
        return
    for name in configuration.files or ("no file, defaults only",):
        line(f"{escape_text(str(name))}: no fault")


def _fault_fields(placed: LocatedFault) -> dict[str, object]:
    return {
        "key": dotted(placed.fault.path),
        "problem": placed.fault.problem,
        "advice": placed.fault.advice,
        "origin": placed.origin.name,
        "line": placed.origin.line,
    }


def _check_rules(configuration: Configuration) -> None:
    from hashwacht.walk.rules import ExclusionRules, parse_rules

    ExclusionRules(parse_rules(configuration.settings.scan.exclude, "scan.exclude"))


def _check_signal_types(configuration: Configuration) -> None:
    from hashwacht.core.signals import signal_types
    from hashwacht.settings import EokmSettings, HmaSettings

    settings = configuration.settings
    names = [*settings.fingerprint.always_compute]
    for matcher in settings.matchers:
        if isinstance(matcher, EokmSettings | HmaSettings):
            names += [name for name, _ in matcher.signal_types]
    commands = {name for name, _ in settings.fingerprint.commands}
    signal_types(name for name in names if name not in commands)


@command(
    Example("hashwacht config example > hashwacht.toml", "Start a new configuration."),
    name="example",
)
def example() -> None:
    """Print an annotated example with every key, its meaning and its default."""
    from hashwacht.settings.show import example as annotated

    line(annotated().removesuffix("\n"))


for subcommand in (show, check, example):
    config_command.add_command(subcommand)

"""What was asked of us, apart from the command's own arguments: the options of every command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hashwacht.settings import Configuration, Given, load

_CONFIG, _STATE, _VERBOSE, _JSON = "config", "state_dir", "verbose", "as_json"


@dataclass(frozen=True, slots=True)
class Call:
    """The options that every command has."""

    config: Path | None = None
    state_dir: Path | None = None
    verbose: bool = False
    as_json: bool = False

    def configuration(self, *options: Given) -> Configuration:
        """Read the configuration; *options* are the command's own that override a key."""
        if self.state_dir is not None:
            given = Given("state.directory", str(self.state_dir.absolute()), "--state-dir")
            options = (*options, given)
        return load(os.environ, uid=os.geteuid(), file=self.config, options=options)


def this_call() -> Call:
    """Give the call that is being answered."""
    meta = click.get_current_context().meta
    return Call(**meta.get(__name__, {}))


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Keep an option that may stand before the command as well as after it: the last one counts."""
    if value not in (None, False):
        assert parameter.name is not None
        context.meta.setdefault(__name__, {})[parameter.name] = value
    return value


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_remember, **attributes)


def common_options() -> list[click.Parameter]:
    """Make the options of every command, in the order of its help."""
    path = click.Path(dir_okay=False, path_type=Path)
    directory = click.Path(file_okay=False, path_type=Path)
    return [
        _option(f"--{_CONFIG}", type=path, metavar="FILE", help="Read this configuration."),
        _option(
            "--state-dir",
            type=directory,
            metavar="DIRECTORY",
            help="Keep state and hash lists here.",
        ),
        _option("-v", "--verbose", is_flag=True, help="Say more, and show tracebacks of errors."),
    ]


def json_option() -> click.Option:
    """Make the option of every command that has results."""
    return _option(
        "--json", _JSON, is_flag=True, help="Print one versioned JSON object a line instead."
    )

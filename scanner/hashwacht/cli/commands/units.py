"""``hashwacht units``: the systemd drop-ins that the configuration needs."""

from __future__ import annotations

from pathlib import Path

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import line
from hashwacht.core.errors import ConfigurationError
from hashwacht.daemon.systemd_units import (
    APPLY,
    DIRECTORY,
    drop_ins,
    outdated_drop_ins,
    write_drop_ins,
)
from hashwacht.settings import Settings


@command(
    Example("hashwacht units", "Print the drop-ins."),
    Example(
        "hashwacht units --write && systemctl daemon-reload && systemctl restart hashwacht.target",
        "Apply them after changing a root or a directory.",
    ),
    Example("hashwacht units --check", "Check whether that is needed."),
)
@click.option("--write", is_flag=True, help="Write the drop-ins instead of printing them.")
@click.option(
    "--check", is_flag=True, help="Fail if the written drop-ins do not fit the configuration."
)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DIRECTORY,
    metavar="DIRECTORY",
    help="Directory of the drop-ins.  [default: /etc/systemd/system]",
)
def units_command(write: bool, check: bool, directory: Path) -> None:
    """Show the systemd drop-ins that the configuration needs, and write them.

    Under systemd the scanner may only write to its own directories.  The drop-ins add write access
    to the roots, and to the quarantine, state and metrics directories if they are not in their
    default locations.  `systemctl reload` fails while they do not fit the configuration.
    """
    settings = global_options().configuration().settings
    if check:
        _check(settings, directory)
        return
    if write:
        for text in write_drop_ins(settings, directory):
            line(text)
        return
    for name, text in drop_ins(settings).items():
        line(f"# {directory / name}\n{text}")


def _check(settings: Settings, directory: Path) -> None:
    try:
        outdated = outdated_drop_ins(settings, directory)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename}: {error.strerror}", advice="Run the command as root."
        ) from error
    if outdated:
        names = ", ".join(map(str, outdated))
        raise ConfigurationError(
            f"the systemd units do not fit the configuration: {names}", advice=APPLY
        )
    line("The systemd units fit the configuration.")

"""``hashwacht units``: what systemd has to know of the configuration."""

from __future__ import annotations

from pathlib import Path

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import line
from hashwacht.core.errors import ConfigurationError


@command(
    Example("hashwacht units", "See what the configuration asks of systemd."),
    Example(
        "hashwacht units --write && systemctl daemon-reload && systemctl restart hashwacht.target",
        "After a root or a directory has changed.",
    ),
)
@click.option("--write", is_flag=True, help="Write them instead of printing them.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/etc/systemd/system"),
    help="Where to write them; default /etc/systemd/system.",
)
def units_command(write: bool, directory: Path) -> None:
    """Show the systemd drop-ins that the configuration needs, and write them.

    Under systemd the scanner can write to nothing but its own directories and what a drop-in
    opens for it: the directories that hold the roots, and quarantine, state and metrics if they
    do not lie in the usual places.
    """
    from hashwacht.daemon.systemd_units import NAME, drop_ins

    made = drop_ins(global_options().configuration().settings)
    for name, text in made.items():
        if write:
            _write(directory / name, text)
            line(str(directory / name))
        else:
            line(f"# {directory / name}\n{text}")
    if write:
        for each in directory.glob(f"hashwacht*.d/{NAME}"):
            if str(each.relative_to(directory)) not in made:
                each.unlink()
                line(f"{each} removed")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {error.strerror}", advice="Run it as root, or name another --directory."
        ) from error

"""``hashwacht units``: the systemd drop-ins that the configuration needs."""

from __future__ import annotations

from pathlib import Path

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import line
from hashwacht.core.errors import ConfigurationError


@command(
    Example("hashwacht units", "Print the drop-ins."),
    Example(
        "hashwacht units --write && systemctl daemon-reload && systemctl restart hashwacht.target",
        "Apply them after changing a root or a directory.",
    ),
)
@click.option("--write", is_flag=True, help="Write the drop-ins instead of printing them.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/etc/systemd/system"),
    metavar="DIRECTORY",
    help="Directory to write to.  [default: /etc/systemd/system]",
)
def units_command(write: bool, directory: Path) -> None:
    """Show the systemd drop-ins that the configuration needs, and write them.

    Under systemd the scanner may only write to its own directories.  The drop-ins add write access
    to the roots, and to the quarantine, state and metrics directories if they are not in their
    default locations.
    """
    from hashwacht.daemon.systemd_units import NAME, drop_ins

    contents = drop_ins(global_options().configuration().settings)
    for name, text in contents.items():
        if write:
            _write(directory / name, text)
            line(str(directory / name))
        else:
            line(f"# {directory / name}\n{text}")
    if write:
        for path in directory.glob(f"hashwacht*.d/{NAME}"):
            if str(path.relative_to(directory)) not in contents:
                path.unlink()
                line(f"{path} removed")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {error.strerror}", advice="Run the command as root, or use --directory."
        ) from error

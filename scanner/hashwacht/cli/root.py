"""``hashwacht`` itself: which commands there are, and in which file each one is."""

from __future__ import annotations

import click

from hashwacht import __version__
from hashwacht.cli.command import Example, Group

COMMANDS = (
    "scan",
    "recheck",
    "scans",
    "check",
    "hash",
    "explain",
    "lists",
    "credentials",
    "config",
    "doctor",
    "completion",
)
"""In the order of the help; NAME is ``NAME_command`` in ``hashwacht/cli/NAME.py``."""


@click.group(
    cls=Group,
    lazy={name: f"hashwacht.cli.{name}:{name}_command" for name in COMMANDS},
    examples=(
        Example("hashwacht lists import police known.csv", "Import a hash list named police."),
        Example("hashwacht scan /srv/www", "Scan a directory; go on where it was interrupted."),
        Example("hashwacht recheck", "Ask again with the stored fingerprints; no disk is read."),
        Example("hashwacht doctor", "Say whether all of it is set up well."),
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="hashwacht", message="%(prog)s %(version)s")
def root() -> None:
    """Find known child sexual abuse material on a host, without any content leaving it."""

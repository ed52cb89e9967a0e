"""The command line: one file per command; :func:`main` is the entry point."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with the exit code of the command."""
    if sys.argv[1:] == ["--version"]:
        # Scripts and package tests use it often: avoids the 50 ms to import click.
        from hashwacht import __version__

        sys.stdout.write(f"hashwacht {__version__}\n")
        return
    from hashwacht.cli.app import root, run

    sys.exit(run(root, sys.argv[1:]))

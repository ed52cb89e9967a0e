"""The command line: one file per command; :func:`main` is the only door."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that was typed and end the process with its exit code."""
    if sys.argv[1:] == ["--version"]:
        # Asked by every script and package test: without the 50 ms that click takes to import.
        from hashwacht import __version__

        sys.stdout.write(f"hashwacht {__version__}\n")
        return
    from hashwacht.cli.app import root, run

    sys.exit(run(root, sys.argv[1:]))

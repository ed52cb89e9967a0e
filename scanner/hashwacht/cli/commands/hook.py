"""``hashwacht hook``: check one upload for a server, with the answer that this server expects."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import line


@command(
    Example("hashwacht hook exec upload.jpg", "Check a file as clamdscan does: 0, 1 or 2."),
    Example("hashwacht hook modsecurity /tmp/upload", "Print the line for @inspectFile."),
    Example("hashwacht hook --link /usr/local/lib/hooks", "Create the programs for servers."),
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option(
    "--link",
    metavar="DIRECTORY",
    type=click.Path(path_type=Path),
    help="Create a link to the program in DIRECTORY for each hook, and exit.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="HOOK [OPTION]... [FILE]")
def hook_command(link: Path | None, arguments: tuple[str, ...]) -> None:
    """Check one upload for a server or panel, with the answer that it expects.

    The file goes to the daemon, so uploads.mode must be "daemon".  Servers run the program
    hashwacht-hook, or a link to it that has the name of the hook: it needs a tenth of the time of
    this command.  Without arguments the hooks and their options are listed; docs/clients.md
    describes them.
    """
    import hashwacht_hooks

    program = Path(hashwacht_hooks.__file__).with_name("hashwacht-hook")
    if link is not None:
        create_links(program, link)
        return
    words = list(arguments)
    if words:
        words[1:1] = ["--socket", str(global_options().configuration().settings.uploads.socket)]
    os.execv(sys.executable, [sys.executable, "-I", "-S", str(program), *words])  # noqa: S606


def create_links(program: Path, directory: Path) -> None:
    """Create links to the program, by the names of the hooks, and print them.  Raises OSError."""
    from hashwacht_hooks.main import NAMES

    directory.mkdir(parents=True, exist_ok=True)
    for name in (program.name, *" ".join(NAMES.values()).split()):
        path = directory / name
        path.unlink(missing_ok=True)
        path.symlink_to(program)
        line(str(path))

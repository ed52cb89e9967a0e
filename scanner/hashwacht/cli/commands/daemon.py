"""``hashwacht daemon``: watch, all parts in one go, or one part of it for a service manager."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import GlobalOptions, global_options
from hashwacht.cli.output import line
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.text import escape_text
from hashwacht.settings import Configuration

PARTS = ("scanner", "courier", "watcher")


@command(
    Example("hashwacht daemon", "Watch the roots of the configuration until ^C."),
    Example("hashwacht daemon --root /srv/uploads", "Watch a directory; nothing is configured."),
    Example("hashwacht daemon courier", "Run one part only, as its systemd unit does."),
    exit_status={
        ExitCode.OK: "It was told to stop, and everything was brought to its end.",
        ExitCode.ERROR: "The call or the configuration is wrong.",
    },
)
@click.argument("part", type=click.Choice(PARTS), required=False)
@click.option(
    "--root",
    "roots",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIRECTORY",
    help="Watch this directory too, and only observe there.  May be given several times.",
)
@click.option("--listen-fd", type=int, hidden=True, help="Serve on this socket.")
@click.option("--parent", type=int, hidden=True, help="End when this process does.")
def daemon_command(
    part: str | None, roots: tuple[Path, ...], listen_fd: int | None, parent: int | None
) -> ExitCode:
    """Watch directories, check every new file, and act on matches.

    Three processes do it, which are started again if they end: the scanner, which reads files and
    has no network; the courier, which has a network and reads no files; and, with
    daemon.watch_method = "fanotify", the watcher, which only learns names.  Under systemd each is
    a unit of its own.  SIGHUP has them read the configuration anew.
    """
    from hashwacht.daemon.entry_points import DaemonRunner
    from hashwacht.daemon.scanner.roots import command_line_roots

    call = global_options()

    def configuration() -> Configuration:
        return call.configuration(*command_line_roots(call.configuration().settings.roots, roots))

    running = DaemonRunner(configuration, os.environ, verbose=call.verbose)
    if parent is not None:
        running.end_with(parent)
    match part:
        case "scanner":
            return running.scanner(listen_fd)
        case "courier":
            return running.courier(listen_fd)
        case "watcher":
            return running.watcher(listen_fd)
    _insist(roots)
    return running.all(_again(call, roots), _say)


def _insist(roots: tuple[Path, ...]) -> None:
    """Refuse what is no directory: it was typed just now.  One that vanishes later is a gap."""
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"there is no directory {root}", advice="Check how it is written.")


def _again(call: GlobalOptions, roots: tuple[Path, ...]) -> tuple[str, ...]:
    """Return the arguments that start a part like this process; its name is appended."""
    given = ["daemon", *(f"--root={root.absolute()}" for root in roots)]
    if call.config is not None:
        given.append(f"--config={call.config.absolute()}")
    if call.state_dir is not None:
        given.append(f"--state-dir={call.state_dir.absolute()}")
    return (*given, *(["--verbose"] if call.verbose else []))


def _say(text: str) -> None:
    line(escape_text(f"hashwacht: {text}"), to=sys.stderr)
    sys.stderr.flush()

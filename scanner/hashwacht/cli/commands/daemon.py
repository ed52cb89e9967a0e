"""``hashwacht daemon``: run all its processes, or one of them for a service manager."""

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

PROCESSES = ("scanner", "courier", "watcher", "gateway")


@command(
    Example("hashwacht daemon", "Watch the configured roots until interrupted."),
    Example("hashwacht daemon --root /srv/uploads", "Watch a directory without a configuration."),
    Example("hashwacht daemon courier", "Run a single process, as its systemd unit does."),
    exit_status={
        ExitCode.OK: "The daemon was stopped.",
        ExitCode.ERROR: "The command line or the configuration is wrong.",
    },
)
@click.argument("process", type=click.Choice(PROCESSES), required=False)
@click.option(
    "--root",
    "roots",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIRECTORY",
    help="Also watch this directory, without acting on matches.  May be repeated.",
)
@click.option("--listen-fd", type=int, hidden=True, help="Serve this inherited socket.")
@click.option("--parent", type=int, hidden=True, help="Exit when this process exits.")
def daemon_command(
    process: str | None, roots: tuple[Path, ...], listen_fd: int | None, parent: int | None
) -> ExitCode:
    """Watch directories, check every new file, and act on matches.

    Runs up to four processes and restarts them when they exit: the scanner reads files and has no
    network access; the courier has network access and reads no files; with
    daemon.watch_method = "fanotify" the watcher receives the names of new files; with
    gateway.enabled the gateway answers programs that ask a virus scanner or use HTTP.  Under
    systemd each has its own unit.  SIGHUP reloads the configuration.
    """
    from hashwacht.daemon.entry_points import DaemonRunner
    from hashwacht.daemon.scanner.roots import command_line_roots
    from hashwacht.platform.process import terminate_with_parent

    call = global_options()

    def configuration() -> Configuration:
        return call.configuration(*command_line_roots(call.configuration().settings.roots, roots))

    runner = DaemonRunner(configuration, os.environ, verbose=call.verbose)
    if parent is not None:
        terminate_with_parent(parent)
    match process:
        case "scanner":
            return runner.run_scanner(listen_fd)
        case "courier":
            return runner.run_courier(listen_fd)
        case "watcher":
            return runner.run_watcher(listen_fd)
        case "gateway":
            return runner.run_gateway()
    _check_directories(roots)
    return runner.run_all(_child_arguments(call, roots), _report)


def _check_directories(roots: tuple[Path, ...]) -> None:
    """Refuse a root that is not a directory now; one that vanishes later is a gap."""
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"{root} is not a directory", advice="Check the path of --root.")


def _child_arguments(call: GlobalOptions, roots: tuple[Path, ...]) -> tuple[str, ...]:
    """Return the arguments of the child processes, without the name of the process."""
    arguments = ["daemon", *(f"--root={root.absolute()}" for root in roots)]
    if call.config is not None:
        arguments.append(f"--config={call.config.absolute()}")
    if call.state_dir is not None:
        arguments.append(f"--state-dir={call.state_dir.absolute()}")
    return (*arguments, *(["--verbose"] if call.verbose else []))


def _report(text: str) -> None:
    line(escape_text(f"hashwacht: {text}"), to=sys.stderr)
    sys.stderr.flush()

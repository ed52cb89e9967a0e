"""``hashwacht status``: whether this host is protected, and if not, why."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.errors import ExitCode
from hashwacht.daemon.status.assess import Protection

EXIT_CODES: Mapping[Protection, ExitCode] = MappingProxyType(
    {
        Protection.PROTECTED: ExitCode.OK,
        Protection.DEGRADED: ExitCode.MATCH,
        Protection.NOT_PROTECTED: ExitCode.ERROR,
    }
)
"""The exit codes of monitoring plug-ins: OK, WARNING, CRITICAL; an error of this command is
CRITICAL as well."""

CLEAR = "\x1b[H\x1b[2J"
"""Moves the cursor home and clears the screen (ECMA-48: CUP, ED)."""


@command(
    Example("hashwacht status", "Show everything on one screen."),
    Example("hashwacht status --watch 2", "Refresh every two seconds, until ^C."),
    Example("hashwacht status --json | jq .problems", "List the problems for a program."),
    json=True,
    exit_status={
        0: "The host is protected.",
        1: "Degraded: work is overdue, events were missed, or alerts are not delivered.",
        2: "The host is not protected, or the status is not available.",
    },
)
@click.option(
    "--watch",
    "interval",
    type=click.FloatRange(0.5),
    metavar="SECONDS",
    help="Refresh the output every SECONDS.",
)
def status_command(interval: float | None) -> ExitCode:
    """Show whether this host is protected, and what the daemon is doing.

    Reads the last heartbeat of the daemon and the storage, so it also works while the daemon is
    stopped.  The exit code suits monitoring plug-ins: 0 protected, 1 degraded, 2 not protected.
    """
    from hashwacht.cli.render.status_text import text
    from hashwacht.daemon.status.status import read_status, to_fields

    call = global_options()
    while True:
        status = read_status(call.configuration().settings, time.time())
        if call.as_json:
            emit("status", to_fields(status))
        else:
            line((CLEAR if interval else "") + "\n".join(text(status)))
        if interval is None:
            return EXIT_CODES[status.protection]
        time.sleep(interval)

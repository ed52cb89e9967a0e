"""``hashwacht status``: is this machine protected, and if not, why."""

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
"""As plug-ins of monitoring systems end (OK, WARNING, CRITICAL); what keeps this command from
finding out ends with CRITICAL as well."""

CLEAR = "\x1b[H\x1b[2J"
"""Puts the cursor home and empties the screen (ECMA-48: CUP, ED)."""


@command(
    Example("hashwacht status", "Look at everything on one screen."),
    Example("hashwacht status --watch 2", "Look again every two seconds, until ^C."),
    Example("hashwacht status --json | jq .problems", "Only what is wrong, for a program."),
    json=True,
    exit_status={
        0: "Protected.",
        1: "Degraded: something is late, was missed, or nobody is told.",
        2: "Not protected, or it could not be found out.",
    },
)
@click.option(
    "--watch",
    "every",
    type=click.FloatRange(0.5),
    metavar="SECONDS",
    help="Say it again and again, this often.",
)
def status_command(every: float | None) -> ExitCode:
    """Say if this machine is protected, and what the daemon is doing.

    It answers whether the daemon runs or not, from what the daemon last said of itself and from
    the state.  The exit code is meant for monitoring: 0 protected, 1 degraded, 2 not protected.
    """
    from hashwacht.cli.render.status_text import text
    from hashwacht.daemon.status.status import status, to_fields

    call = global_options()
    while True:
        found = status(call.configuration().settings, time.time())
        if call.as_json:
            emit("status", to_fields(found))
        else:
            line((CLEAR if every else "") + "\n".join(text(found)))
        if every is None:
            return EXIT_CODES[found.protection]
        time.sleep(every)

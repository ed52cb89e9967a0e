"""``hashwacht gateway``: tokens for the HTTP API, and whether the clamd socket answers."""

from __future__ import annotations

import re
import secrets
import socket
import time
from hashlib import sha256

import click

from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import print_result
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.ipc.sockets import connect
from hashwacht.platform.backoff import ABSENT
from hashwacht.settings.gateway import ClamdSettings, split_address

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@click.group(
    cls=Group,
    examples=(Example("hashwacht gateway token shop", "Create a token for a shop."),),
)
def gateway_command() -> None:
    """Create tokens for the HTTP API, and test the clamd socket.

    `hashwacht daemon gateway` runs the gateway.
    """


@command(
    Example("hashwacht gateway token shop", "Print a new token, and the lines that permit it."),
    json=True,
    name="token",
)
@click.argument("name")
def token(name: str) -> None:
    """Print a new token once, and the lines of the configuration that permit it.

    The configuration has only the SHA-256 of the token: keep the token itself in the settings of
    the application, which sends it as `Authorization: Bearer TOKEN`.  A token that is lost is
    replaced by a new one.  A token may check files; to look up hashes as well, add its name to
    lookup in [gateway.http].
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not the name of a token",
            advice="Use lower-case letters, digits, - and _, such as the application's name.",
        )
    value = f"hashwacht_{secrets.token_urlsafe(32)}"
    digest = f"sha256:{sha256(value.encode()).hexdigest()}"
    print_result(
        "token",
        {"name": name, "token": value, "digest": digest},
        f"Token for the application, shown only now: {value}",
        "",
        "Add to the configuration, then reload the gateway:",
        "[gateway.http.tokens]",
        f'{name} = "{digest}"',
    )


_ANSWER_TIMEOUT = 5.0
"""Seconds in which an answer to PING must arrive."""


@command(
    Example("hashwacht gateway ping", "Test whether the clamd socket answers."),
    Example("hashwacht gateway ping --wait 60", "Wait for it, before c-icap starts."),
    json=True,
    name="ping",
    exit_status={
        ExitCode.OK: "The clamd socket answers.",
        ExitCode.UNREACHABLE: "It does not answer, so that programs cannot have files checked.",
    },
)
@click.option("--wait", default=0.0, type=click.FloatRange(0), help="Seconds to wait.")
def ping(wait: float) -> ExitCode:
    """Test whether the clamd socket of the gateway answers.

    With on_outage = "refuse" it does not while nothing can be checked.
    """
    clamd = global_options().configuration().settings.gateway.clamd
    name = clamd.tcp if clamd.socket is None else str(clamd.socket)
    if not name:
        raise UsageError(
            "the gateway has no clamd socket", advice="Set gateway.clamd.socket, and restart it."
        )
    deadline, failures = time.monotonic() + wait, 1
    while problem := _ping_problem(clamd):
        pause = ABSENT.delay(failures)
        failures += 1
        if time.monotonic() + pause > deadline:
            break
        time.sleep(pause)
    text = f"{name}: {problem}" if problem else f"{name} answers"
    print_result("ping", {"socket": name, "ok": not problem, "problem": problem}, text)
    return ExitCode.UNREACHABLE if problem else ExitCode.OK


def _ping_problem(clamd: ClamdSettings) -> str:
    """Return why the socket does not answer; empty if it does."""
    try:
        if clamd.socket is None:
            connection = socket.create_connection(split_address(clamd.tcp), _ANSWER_TIMEOUT)
        else:
            connection = connect(clamd.socket, _ANSWER_TIMEOUT)
        with connection:
            connection.sendall(b"zPING\0")
            answer = connection.recv(64)
    except OSError as error:
        return error.strerror or "no answer in time"
    return "" if answer == b"PONG\0" else "the answer is not that of a clamd socket"


gateway_command.add_command(token)
gateway_command.add_command(ping)

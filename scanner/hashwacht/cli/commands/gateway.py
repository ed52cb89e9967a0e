"""``hashwacht gateway``: tokens for the gateway's HTTP API."""

from __future__ import annotations

import re
import secrets
from hashlib import sha256

import click

from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.output import print_result
from hashwacht.core.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@click.group(
    cls=Group,
    examples=(Example("hashwacht gateway token shop", "Create a token for a shop."),),
)
def gateway_command() -> None:
    """Create tokens for the HTTP API; `hashwacht daemon gateway` runs the gateway."""


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


gateway_command.add_command(token)

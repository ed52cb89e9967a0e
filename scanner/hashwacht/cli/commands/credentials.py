"""``hashwacht credentials``: store, look for and forget secrets, never showing one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import GlobalOptions, global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.text import escape_text
from hashwacht.secrets import CredentialStatus, SecretSources
from hashwacht.settings import ServiceSettings


@click.group(
    cls=Group,
    examples=(Example("hashwacht credentials set eokm", "Ask for user and password, store both."),),
)
def credentials_command() -> None:
    """Store, check and remove the credentials of matching services.

    They are looked for as a systemd credential, in the keyring that is configured, in a file of
    mode 0600, and in the environment; the first place that has the name counts.
    """


@command(
    Example("hashwacht credentials set eokm", "Ask for user and password."),
    Example("pass show eokm | hashwacht credentials set eokm", "Take one line user:password."),
    name="set",
)
@click.argument("name")
def store(name: str) -> None:
    """Store the credentials NAME in the keyring if one is configured, else in a file.

    On a terminal both parts are asked for, the password unseen; otherwise one line
    user:password is read from standard input.  They are never taken from the command line,
    where every user of the machine could read them.
    """
    from hashwacht.secrets import Credential
    from hashwacht.secrets import store_credential as keep

    if sys.stdin.isatty():
        user = click.prompt("User", err=True)
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        credential = Credential.parse(f"{user}:{password}")
    else:
        credential = Credential.parse(sys.stdin.readline())
    where = keep(name, credential, _places(global_options()))
    line(escape_text(f"{name}: stored in {where}"))


@command(
    Example("hashwacht credentials check", "Look for all that configured matchers need."),
    Example("hashwacht credentials check eokm", "Say where it lies, and what is wrong with it."),
    json=True,
    name="check",
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
def check(names: Sequence[str]) -> ExitCode:
    """Show where credentials are stored and whether they are usable; no service is asked.

    Without NAME, all that the configured matchers need.  The exit code is 2 if one is missing
    or cannot be used.
    """
    from hashwacht.secrets import locate_credential as look

    call = global_options()
    places = _places(call)
    usable = [
        _tell(name, look(name, places), as_json=call.as_json) for name in names or _needed(call)
    ]
    if not usable and not call.as_json:
        line("No configured matcher needs credentials.")
    return ExitCode.OK if all(usable) else ExitCode.ERROR


def _tell(name: str, statuses: Sequence[CredentialStatus], *, as_json: bool) -> bool:
    """Print where one credential is stored; return whether the first source is usable."""
    usable = bool(statuses) and not statuses[0].problem
    if as_json:
        fields = [
            {"source": each.source, "location": each.location, "problem": each.problem}
            for each in statuses
        ]
        emit("credential", {"name": name, "usable": usable, "sources": fields})
        return usable
    if not statuses:
        line(escape_text(f"{name}: not found; give it with `hashwacht credentials set {name}`"))
    for number, each in enumerate(statuses):
        state = each.problem or ("used" if number == 0 else "not used, found later")
        line(escape_text(f"{name}: {each.source}, {each.location}: {state}"))
        if each.advice:
            line(escape_text(f"  {each.advice}"))
    return usable


@command(
    Example("hashwacht credentials remove eokm", "Remove it from keyring and file."),
    name="remove",
)
@click.argument("name")
def forget(name: str) -> None:
    """Remove the credentials NAME from keyring and file.

    What systemd or the environment gives is not ours to remove; `credentials check` shows it.
    """
    from hashwacht.secrets import delete_credential as remove

    gone = remove(name, _places(global_options()))
    if not gone:
        raise UsageError(
            f"{name}: neither in the keyring nor in a file",
            advice=f"`hashwacht credentials check {name}` says where it lies, if anywhere.",
        )
    for where in gone:
        line(escape_text(f"{name}: removed from {where}"))


def _places(call: GlobalOptions) -> SecretSources:
    from hashwacht import bootstrap

    return bootstrap.secret_sources(call.configuration().settings, os.environ)


def _needed(call: GlobalOptions) -> list[str]:
    """Name what the configured matchers need, each once."""
    matchers = call.configuration().settings.matchers
    named = [each.credentials for each in matchers if isinstance(each, ServiceSettings)]
    return [name for name in dict.fromkeys(named) if name]


for each_command in (store, check, forget):
    credentials_command.add_command(each_command)

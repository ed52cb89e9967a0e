"""``hashwacht credentials``: store, check and remove credentials without printing them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

import click

from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import GlobalOptions, global_options
from hashwacht.cli.output import print_result, print_text
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.secrets import CredentialStatus, SecretSources
from hashwacht.settings import ServiceSettings


@click.group(
    cls=Group,
    examples=(
        Example(
            "hashwacht credentials set eokm", "Store a user name and password, entered at a prompt."
        ),
    ),
)
def credentials_command() -> None:
    """Store, check and remove the credentials of matching services.

    Sources are, in this order: systemd credentials, the configured keyring, a file of mode 0600,
    and the environment.  The first source that has the name is used.
    """


@command(
    Example("hashwacht credentials set eokm", "Prompt for the user name and password."),
    Example("pass show eokm | hashwacht credentials set eokm", "Read user:password from a pipe."),
    name="set",
)
@click.argument("name")
def store(name: str) -> None:
    """Store the credentials NAME in the configured keyring, or in a file if there is none.

    Prompts for the user name and password on a terminal, else reads one line user:password from
    standard input.  Credentials on the command line would be visible to all users.
    """
    from hashwacht.secrets import Credential, store_credential

    if sys.stdin.isatty():
        user = click.prompt("User", err=True)
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        credential = Credential.parse(f"{user}:{password}")
    else:
        credential = Credential.parse(sys.stdin.readline())
    location = store_credential(name, credential, _sources(global_options()))
    print_text(f"{name}: stored in {location}")


@command(
    Example("hashwacht credentials check", "Check the credentials of all configured matchers."),
    Example(
        "hashwacht credentials check eokm", "Show where one is stored and what is wrong with it."
    ),
    json=True,
    name="check",
)
@click.argument("names", metavar="[NAME...]", nargs=-1)
def check(names: Sequence[str]) -> ExitCode:
    """Show where credentials are stored and whether they are usable.

    Without NAME, checks the credentials of all configured matchers.  Contacts no service.  The
    exit code is 2 if credentials are missing or unusable.
    """
    from hashwacht.secrets import locate_credential

    call = global_options()
    sources = _sources(call)
    usable = [
        _print_statuses(name, locate_credential(name, sources)) for name in names or _needed(call)
    ]
    if not usable:
        print_text("No configured matcher needs credentials.")
    return ExitCode.OK if all(usable) else ExitCode.ERROR


def _print_statuses(name: str, statuses: Sequence[CredentialStatus]) -> bool:
    """Print where one credential is stored; return whether the first source is usable."""
    usable = bool(statuses) and not statuses[0].problem
    sources = [
        {"source": status.source, "location": status.location, "problem": status.problem}
        for status in statuses
    ]
    fields = {"name": name, "usable": usable, "sources": sources}
    print_result("credential", fields, *_status_lines(name, statuses))
    return usable


def _status_lines(name: str, statuses: Sequence[CredentialStatus]) -> Iterator[str]:
    if not statuses:
        yield f"{name}: not found; run `hashwacht credentials set {name}`"
    for position, status in enumerate(statuses):
        state = status.problem or ("used" if position == 0 else "shadowed by the source above")
        yield f"{name}: {status.source}, {status.location}: {state}"
        if status.advice:
            yield f"  {status.advice}"


@command(
    Example("hashwacht credentials remove eokm", "Remove them from the keyring and the file."),
    name="remove",
)
@click.argument("name")
def remove(name: str) -> None:
    """Remove the credentials NAME from the keyring and from their file.

    Does not remove systemd credentials or environment variables; `credentials check` lists them.
    """
    from hashwacht.secrets import delete_credential

    locations = delete_credential(name, _sources(global_options()))
    if not locations:
        raise UsageError(
            f"{name}: neither in the keyring nor in a file",
            advice=f"Run `hashwacht credentials check {name}` to see where they are stored.",
        )
    print_text(*(f"{name}: removed from {location}" for location in locations))


def _sources(call: GlobalOptions) -> SecretSources:
    from hashwacht import bootstrap

    return bootstrap.secret_sources(call.configuration().settings, os.environ)


def _needed(call: GlobalOptions) -> list[str]:
    """Return the names of the credentials that the configured matchers need, without repeats."""
    matchers = call.configuration().settings.matchers
    named = [matcher.credentials for matcher in matchers if isinstance(matcher, ServiceSettings)]
    return [name for name in dict.fromkeys(named) if name]


for subcommand in (store, check, remove):
    credentials_command.add_command(subcommand)

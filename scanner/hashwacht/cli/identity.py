"""The private keys that open what is sealed, as options of commands name them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from hashwacht.core.errors import CredentialError, UsageError

_STANDARD_INPUT = Path("-")


def identity_option() -> Callable[[Any], Any]:
    """Make the option that opens what is sealed."""
    return click.option(
        "--identity",
        "identities",
        type=click.Path(allow_dash=True, path_type=Path),
        multiple=True,
        metavar="FILE",
        help="A private key of age that opens sealed files; - for standard input.  May be repeated"
        " if they are sealed for different keys.",
    )


def read_identities(files: Iterable[Path]) -> tuple[str, ...]:
    """Read the private keys, in the order in which they are given.  Raises CredentialError."""
    from hashwacht.quarantine.age import read_secrets

    return tuple(secret for file in files for secret in read_secrets(_text(file)))


def no_identity(other: str = "") -> UsageError:
    """Say that a key is needed, or *other* than that."""
    return UsageError(
        "some of its files are sealed",
        advice=f"Give --identity with the private key that opens them{other}.",
    )


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if file == _STANDARD_INPUT else file.read_text()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CredentialError(
            f"{file} cannot be read: {why}", advice="Name the file with the private key."
        ) from error

"""Credentials by name: where they are looked up, written and removed.

In this order, the first one wins:

1. systemd: ``$CREDENTIALS_DIRECTORY/NAME``, or ``hashwacht_NAME`` there if a whole directory was
   loaded under the ID ``hashwacht`` (``LoadCredential=``, systemd.exec(5))
2. keyring, only if the settings name a backend; never one that was merely found installed,
   because the default changes silently with what is installed
3. file: ``DIRECTORY/NAME``, of mode 0600, owned by us or by root
4. environment: ``HASHWACHT_CREDENTIAL_NAME``, in capitals, ``-`` written ``_``

Written the same everywhere, as in HTTP Basic (RFC 7617): one line ``user:password``, the user
without a colon, no control characters.  A place that has the name but holds something
malformed or too readable is an error, not passed over: the next place might hold an old
secret.  No secret is ever part of a message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from hashwacht.core.errors import CredentialError
from hashwacht.secrets import keyring
from hashwacht.secrets.credential import Credential
from hashwacht.secrets.private_file import read_private, read_systemd_credential, write_private

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

_LOADED_AS = "hashwacht"
"""The ID under which our units load a directory."""


class SecretSource(StrEnum):
    """Where a credential may lie, in the order in which they are asked."""

    SYSTEMD = "systemd credential"
    KEYRING = "keyring"
    FILE = "file"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class SecretSources:
    """What the settings and the process say of where to look.

    *directory* holds one file per name; *keyring* is the full name of a backend class, as
    ``keyring --list-backends`` prints it, empty for none; *environment* is ``os.environ``.
    """

    directory: Path | None = None
    keyring: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """A place that has the name: which, where exactly, and what is wrong with it, if anything."""

    source: SecretSource
    location: str
    problem: str = ""
    advice: str = ""


def load_credential(name: str, sources: SecretSources) -> Credential:
    """Give the credential of that name from the first place that has it.

    Raises CredentialError if no place has it, or the first that does has an unusable one.
    """
    for _, location, text in _texts(name, sources):
        try:
            return Credential.parse(text())
        except CredentialError as error:
            raise CredentialError(
                f"{name}: {location}: {error.message}", advice=error.advice
            ) from None
    raise CredentialError(
        f"no credential named {name!r} was found",
        advice=f"Give it with `hashwacht credentials set {name}`.",
    )


def locate_credential(name: str, sources: SecretSources) -> list[CredentialStatus]:
    """Say which places have that name, in order: the first is used, the others are shadowed."""
    return [_sighting(source, location, text) for source, location, text in _texts(name, sources)]


def store_credential(name: str, credential: Credential, sources: SecretSources) -> str:
    """Write it to the keyring if one is named, else to its file, at once or not at all.

    Gives back where it went.  Raises CredentialError.
    """
    _require_name(name)
    if Credential.parse(credential.to_line()) != credential:
        raise CredentialError(
            "a user with a colon, or a line end in the password, cannot be stored",
            advice="HTTP Basic cannot carry it either (RFC 7617): choose another.",
        )
    if sources.keyring:
        keyring.write(sources.keyring, name, credential.to_line())
        return keyring.describe(sources.keyring, name)
    if sources.directory is None:
        raise CredentialError(
            "neither a keyring nor a directory for credentials is configured",
            advice="Name one of them in the settings.",
        )
    path = sources.directory / name
    try:
        write_private(path, credential.to_line() + "\n")
    except OSError as error:
        raise CredentialError(
            f"{path}: {error.strerror}", advice="Make the directory writable for this user."
        ) from error
    return str(path)


def delete_credential(name: str, sources: SecretSources) -> list[str]:
    """Remove it from keyring and file, and say from where; the other places are not ours.

    Raises CredentialError if the file cannot be removed.
    """
    _require_name(name)
    gone = []
    if sources.keyring and keyring.remove(sources.keyring, name):
        gone.append(keyring.describe(sources.keyring, name))
    if sources.directory is not None:
        path = sources.directory / name
        try:
            path.unlink()
            gone.append(str(path))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise CredentialError(
                f"{path}: {error.strerror}", advice="Remove it as the user who owns the directory."
            ) from error
    return gone


def environment_variable(name: str) -> str:
    """Name the environment variable of a credential."""
    return "HASHWACHT_CREDENTIAL_" + name.upper().replace("-", "_")


_Text = tuple[SecretSource, str, Callable[[], str]]


def _texts(name: str, sources: SecretSources) -> Iterator[_Text]:
    """Give every place that has the name, with what reads it (CredentialError if unusable)."""
    _require_name(name)
    if directory := sources.environment.get("CREDENTIALS_DIRECTORY"):
        for path in (Path(directory, name), Path(directory, f"{_LOADED_AS}_{name}")):
            if os.path.lexists(path):
                yield SecretSource.SYSTEMD, str(path), partial(read_systemd_credential, path)
    if sources.keyring:
        text = keyring.read(sources.keyring, name)
        if text is not None:
            yield SecretSource.KEYRING, keyring.describe(sources.keyring, name), lambda: text
    if sources.directory is not None:
        private = sources.directory / name
        if os.path.lexists(private):
            yield SecretSource.FILE, str(private), lambda: read_private(private)
    if (value := sources.environment.get(environment_variable(name))) is not None:
        yield SecretSource.ENVIRONMENT, environment_variable(name), lambda: value


def _sighting(source: SecretSource, location: str, text: Callable[[], str]) -> CredentialStatus:
    try:
        Credential.parse(text())
    except CredentialError as error:
        return CredentialStatus(source, location, error.message, error.advice)
    return CredentialStatus(source, location)


def _require_name(name: str) -> None:
    """Names become file names and variables: nothing that could leave the directory."""
    if not _NAME.fullmatch(name):
        raise CredentialError(
            f"{name!r} is no name for a credential",
            advice="Use lower-case letters, digits, - and _, at most 64, beginning with no sign.",
        )

"""Credentials by name: a value that does not reveal itself, and where it is stored.

The first source in this order wins:

1. systemd: ``$CREDENTIALS_DIRECTORY/NAME``, or ``hashwacht_NAME`` there if a whole directory was
   loaded under the ID ``hashwacht`` (``LoadCredential=``, systemd.exec(5))
2. keyring, only if the settings name a backend: its default changes with what is installed
3. file: ``DIRECTORY/NAME``, mode 0600, owned by this user or root
4. environment: ``HASHWACHT_CREDENTIAL_NAME``, in capitals, ``-`` written ``_``

The format is that of HTTP Basic (RFC 7617): one line ``user:password``, the user without a colon,
no control characters.  A source with a malformed or exposed credential is an error and not skipped:
the next source might have an old secret.  No secret is ever part of a message.
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
from hashwacht.secrets.private_file import read_private, read_systemd_credential, write_private

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

_LOADED_AS = "hashwacht"
"""The ID under which the systemd units load a directory."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a password; neither is in its ``repr`` or ``str``."""

    user: str = field(repr=False)
    password: str = field(repr=False)

    def __str__(self) -> str:
        return "Credential(...)"

    @classmethod
    def parse(cls, text: str) -> Credential:
        """Parse ``user:password``.  Raises CredentialError, whose message does not quote it."""
        line = text.removesuffix("\n").removesuffix("\r")
        user, colon, password = line.partition(":")
        if not (user and colon and password) or _CONTROL.search(line):
            raise CredentialError(
                "a credential must be one line user:password",
                advice="Store it again with `hashwacht credentials set`.",
            )
        return cls(user, password)

    def to_line(self) -> str:
        """Return the secret itself, for storing and for HTTP Basic only."""
        return f"{self.user}:{self.password}"


class SecretSource(StrEnum):
    """Where a credential may be stored, in order of precedence."""

    SYSTEMD = "systemd credential"
    KEYRING = "keyring"
    FILE = "file"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class SecretSources:
    """Where the settings and the environment say to look.

    *directory* holds one file per name; *keyring* is the full name of a backend class, as
    ``keyring --list-backends`` prints it, empty for none; *environment* is ``os.environ``.
    """

    directory: Path | None = None
    keyring: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """A source that has the name, the exact location, and its problem, if any."""

    source: SecretSource
    location: str
    problem: str = ""
    advice: str = ""


def load_credential(name: str, sources: SecretSources) -> Credential:
    """Return the credential of that name from the first source that has it.

    Raises CredentialError if no source has it, or if the first one that does is unusable.
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
        advice=f"Store it with `hashwacht credentials set {name}`.",
    )


def locate_credential(name: str, sources: SecretSources) -> list[CredentialStatus]:
    """Return the sources that have that name, in order: only the first one is used."""
    return [_status(source, location, text) for source, location, text in _texts(name, sources)]


def store_credential(name: str, credential: Credential, sources: SecretSources) -> str:
    """Store it in the keyring if one is configured, else in its file; return where.

    Raises CredentialError.
    """
    _require_name(name)
    if Credential.parse(credential.to_line()) != credential:
        raise CredentialError(
            "a user with a colon, or a line end in the password, cannot be stored",
            advice="HTTP Basic (RFC 7617) does not allow it either: choose another one.",
        )
    if sources.keyring:
        keyring.write(sources.keyring, name, credential.to_line())
        return keyring.describe(sources.keyring, name)
    if sources.directory is None:
        raise CredentialError(
            "neither a keyring nor a directory for credentials is configured",
            advice="Configure one of them in the settings.",
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
    """Remove it from keyring and file, and return from where; the other sources are not writable.

    Raises CredentialError if the file cannot be removed.
    """
    _require_name(name)
    locations = []
    if sources.keyring and keyring.remove(sources.keyring, name):
        locations.append(keyring.describe(sources.keyring, name))
    if sources.directory is not None:
        path = sources.directory / name
        try:
            path.unlink()
            locations.append(str(path))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise CredentialError(
                f"{path}: {error.strerror}", advice="Remove it as the user who owns the directory."
            ) from error
    return locations


def environment_variable(name: str) -> str:
    """Return the name of the environment variable of a credential."""
    return "HASHWACHT_CREDENTIAL_" + name.upper().replace("-", "_")


_Text = tuple[SecretSource, str, Callable[[], str]]


def _texts(name: str, sources: SecretSources) -> Iterator[_Text]:
    """Yield every source that has the name, with a function that reads it (CredentialError)."""
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


def _status(source: SecretSource, location: str, text: Callable[[], str]) -> CredentialStatus:
    try:
        Credential.parse(text())
    except CredentialError as error:
        return CredentialStatus(source, location, error.message, error.advice)
    return CredentialStatus(source, location)


def _require_name(name: str) -> None:
    """Refuse names that could leave the directory: they become file names and variables."""
    if not _NAME.fullmatch(name):
        raise CredentialError(
            f"{name!r} is not a valid name of a credential",
            advice="Use up to 64 lower-case letters, digits, - and _, with no sign in front.",
        )

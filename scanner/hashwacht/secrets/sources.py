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
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from hashwacht.core.errors import CredentialError
from hashwacht.platform import atomic
from hashwacht.secrets import keyring

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

_LOADED_AS = "hashwacht"
"""The ID under which the systemd units load a directory."""

_MAX_BYTES = 64 * 1024
"""A longer file is not a credential."""


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
            problem = f"{name}: {location}: {error.message}"
            raise CredentialError(problem, advice=error.advice) from None
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
                yield SecretSource.SYSTEMD, str(path), partial(_read_systemd_credential, path)
    if sources.keyring:
        text = keyring.read(sources.keyring, name)
        if text is not None:
            yield SecretSource.KEYRING, keyring.describe(sources.keyring, name), lambda: text
    if sources.directory is not None:
        private = sources.directory / name
        if os.path.lexists(private):
            yield SecretSource.FILE, str(private), lambda: _read_private(private)
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


def _read_systemd_credential(path: Path) -> str:
    """Read a file of systemd, which controls its mode and owner."""
    try:
        with path.open("rb") as file:
            return _decode(file.read(_MAX_BYTES + 1))
    except OSError as error:
        raise _unreadable(error) from error


def _read_private(path: Path) -> str:
    """Read a file that only this user and root may access, as checked on its descriptor."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            _require_private(path, os.fstat(file.fileno()))
            return _decode(file.read(_MAX_BYTES + 1))
    except OSError as error:
        raise _unreadable(error) from error


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CredentialError("not a regular file", advice="Replace it by a regular file.")
    if status.st_uid not in {os.geteuid(), 0}:
        raise CredentialError(
            f"owned by user {status.st_uid}, who can change it",
            advice=f"Run `chown root {path}`, and change the password if that is unexpected.",
        )
    if status.st_mode & 0o077:
        raise CredentialError(
            f"readable or writable by others (mode {stat.S_IMODE(status.st_mode):04o})",
            advice=f"Run `chmod 600 {path}`, and change the password.",
        )


def _unreadable(error: OSError) -> CredentialError:
    return CredentialError(
        f"cannot be read: {error.strerror}",
        advice="Make it a regular file, not a link, readable by the user that runs Hashwacht.",
    )


def _decode(content: bytes) -> str:
    """Return "" for what is too long or not UTF-8: the decoder's message would quote the secret."""
    try:
        return content.decode() if len(content) <= _MAX_BYTES else ""
    except UnicodeDecodeError:
        return ""


def write_private(path: Path, text: str) -> None:
    """Replace a file with mode 0600, making its directory if it is missing.  Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write(path, text.encode(), temporary=f".new-{secrets.token_hex(4)}")

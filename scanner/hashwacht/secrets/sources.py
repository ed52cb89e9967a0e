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
from hashwacht.secrets.private_file import read_given, read_private, write_private

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

_LOADED_AS = "hashwacht"
"""The ID under which our units load a directory."""


class Place(StrEnum):
    """Where a credential may lie, in the order in which they are asked."""

    SYSTEMD = "systemd credential"
    KEYRING = "keyring"
    FILE = "file"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Places:
    """What the settings and the process say of where to look.

    *directory* holds one file per name; *keyring* is the full name of a backend class, as
    ``keyring --list-backends`` prints it, empty for none; *environment* is ``os.environ``.
    """

    directory: Path | None = None
    keyring: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A place that has the name: which, where exactly, and what is wrong with it, if anything."""

    place: Place
    where: str
    problem: str = ""
    advice: str = ""


def find(name: str, places: Places) -> Credential:
    """Give the credential of that name from the first place that has it.

    Raises CredentialError if no place has it, or the first that does has an unusable one.
    """
    for _, where, text in _texts(name, places):
        try:
            return Credential.parse(text())
        except CredentialError as error:
            raise CredentialError(
                f"{name}: {where}: {error.message}", advice=error.advice
            ) from None
    raise CredentialError(
        f"no credential named {name!r} was found",
        advice=f"Give it with `hashwacht credentials set {name}`.",
    )


def check(name: str, places: Places) -> list[Sighting]:
    """Say which places have that name, in order: the first is used, the others are shadowed."""
    return [_sighting(place, where, text) for place, where, text in _texts(name, places)]


def store(name: str, credential: Credential, places: Places) -> str:
    """Write it to the keyring if one is named, else to its file, at once or not at all.

    Gives back where it went.  Raises CredentialError.
    """
    _require_name(name)
    if Credential.parse(credential.line()) != credential:
        raise CredentialError(
            "a user with a colon, or a line end in the password, cannot be stored",
            advice="HTTP Basic cannot carry it either (RFC 7617): choose another.",
        )
    if places.keyring:
        keyring.write(places.keyring, name, credential.line())
        return keyring.describe(places.keyring, name)
    if places.directory is None:
        raise CredentialError(
            "neither a keyring nor a directory for credentials is configured",
            advice="Name one of them in the settings.",
        )
    path = places.directory / name
    try:
        write_private(path, credential.line() + "\n")
    except OSError as error:
        raise CredentialError(
            f"{path}: {error.strerror}", advice="Make the directory writable for this user."
        ) from error
    return str(path)


def forget(name: str, places: Places) -> list[str]:
    """Remove it from keyring and file, and say from where; the other places are not ours.

    Raises CredentialError if the file cannot be removed.
    """
    _require_name(name)
    gone = []
    if places.keyring and keyring.remove(places.keyring, name):
        gone.append(keyring.describe(places.keyring, name))
    if places.directory is not None:
        path = places.directory / name
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


def variable(name: str) -> str:
    """Name the environment variable of a credential."""
    return "HASHWACHT_CREDENTIAL_" + name.upper().replace("-", "_")


_Text = tuple[Place, str, Callable[[], str]]


def _texts(name: str, places: Places) -> Iterator[_Text]:
    """Give every place that has the name, with what reads it (CredentialError if unusable)."""
    _require_name(name)
    if directory := places.environment.get("CREDENTIALS_DIRECTORY"):
        for path in (Path(directory, name), Path(directory, f"{_LOADED_AS}_{name}")):
            if os.path.lexists(path):
                yield Place.SYSTEMD, str(path), partial(read_given, path)
    if places.keyring:
        text = keyring.read(places.keyring, name)
        if text is not None:
            yield Place.KEYRING, keyring.describe(places.keyring, name), lambda: text
    if places.directory is not None:
        private = places.directory / name
        if os.path.lexists(private):
            yield Place.FILE, str(private), lambda: read_private(private)
    if (value := places.environment.get(variable(name))) is not None:
        yield Place.ENVIRONMENT, variable(name), lambda: value


def _sighting(place: Place, where: str, text: Callable[[], str]) -> Sighting:
    try:
        Credential.parse(text())
    except CredentialError as error:
        return Sighting(place, where, error.message, error.advice)
    return Sighting(place, where)


def _require_name(name: str) -> None:
    """Names become file names and variables: nothing that could leave the directory."""
    if not _NAME.fullmatch(name):
        raise CredentialError(
            f"{name!r} is no name for a credential",
            advice="Use lower-case letters, digits, - and _, at most 64, beginning with no sign.",
        )

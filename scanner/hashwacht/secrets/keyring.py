"""Credentials in a keyring whose backend the settings name; the only module that uses keyring.

The default backend of keyring 25 is never used: without a desktop it raises NoKeyringError, and
installing a package changes it silently.  Backends raise the errors of their libraries, so every
exception is caught here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hashwacht.core.errors import CredentialError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "hashwacht"
"""The service name of our entries; the user name of an entry is the credential's name."""


def describe(backend: str, name: str) -> str:
    """Return the location of an entry, in the terms of keyring's command line."""
    return f"{backend}, service {SERVICE}, user {name}"


def read(backend: str, name: str) -> str | None:
    """Return the entry; None if there is none or the backend cannot be used."""
    try:
        return _load(backend).get_password(SERVICE, name)
    except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
        return None


def write(backend: str, name: str, text: str) -> None:
    """Store the entry.  Raises CredentialError, which does not quote the backend's message."""
    try:
        _load(backend).set_password(SERVICE, name, text)
    except Exception as error:  # noqa: BLE001  # law 2: unanswered is undetermined
        raise CredentialError(
            f"the keyring {backend} did not store it ({type(error).__name__})",
            advice="Choose one of `keyring --list-backends`, or none to use a file.",
        ) from None


def remove(backend: str, name: str) -> bool:
    """Remove the entry; return False if there was none or the backend cannot be used."""
    try:
        _load(backend).delete_password(SERVICE, name)
    except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
        return False
    return True


def _load(backend: str) -> KeyringBackend:
    from keyring.core import load_keyring

    return load_keyring(backend)

"""Credentials in a keyring whose backend the settings name; the only place that knows keyring.

Written for keyring 25: without a desktop its default backend raises NoKeyringError, and
installing another package changes the default without a word, hence never the default.
Backends raise whatever their own libraries raise, so everything they raise is caught here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hashwacht.core.errors import CredentialError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "hashwacht"
"""The service name of our entries; the user name of an entry is the credential's name."""


def describe(backend: str, name: str) -> str:
    """Say where an entry is, in the terms of keyring's own command line."""
    return f"{backend}, service {SERVICE}, user {name}"


def read(backend: str, name: str) -> str | None:
    """Give the entry, or None if there is none or the backend cannot be used here."""
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
            f"the keyring {backend} did not take it ({type(error).__name__})",
            advice="See `keyring --list-backends`, or name none and use a file.",
        ) from None


def remove(backend: str, name: str) -> bool:
    """Remove the entry; False if there was none or the backend cannot be used here."""
    try:
        _load(backend).delete_password(SERVICE, name)
    except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
        return False
    return True


def _load(backend: str) -> KeyringBackend:
    from keyring.core import load_keyring

    return load_keyring(backend)

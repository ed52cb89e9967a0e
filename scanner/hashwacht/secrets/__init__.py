"""Secrets, by name, never shown.  See :mod:`hashwacht.secrets.sources`."""

from hashwacht.secrets.sources import (
    Credential,
    CredentialStatus,
    SecretSource,
    SecretSources,
    delete_credential,
    environment_variable,
    load_credential,
    locate_credential,
    store_credential,
)

__all__ = [
    "Credential",
    "CredentialStatus",
    "SecretSource",
    "SecretSources",
    "delete_credential",
    "environment_variable",
    "load_credential",
    "locate_credential",
    "store_credential",
]

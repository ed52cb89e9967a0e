"""Secrets: looked up by name, never shown.  See :mod:`hashwacht.secrets.sources`."""

from hashwacht.secrets.credential import Credential
from hashwacht.secrets.sources import (
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

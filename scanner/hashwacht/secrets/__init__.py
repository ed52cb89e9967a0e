"""Secrets: looked up by name, never shown.  See :mod:`hashwacht.secrets.sources`."""

from hashwacht.secrets.credential import Credential
from hashwacht.secrets.sources import Place, Places, Sighting, check, find, forget, store, variable

__all__ = [
    "Credential",
    "Place",
    "Places",
    "Sighting",
    "check",
    "find",
    "forget",
    "store",
    "variable",
]

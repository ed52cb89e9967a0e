"""Secrets: looked up by name, never shown.  See :mod:`hashwacht.secrets.places`."""

from hashwacht.secrets.credential import Credential
from hashwacht.secrets.places import Place, Places, Sighting, check, find, forget, store, variable

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

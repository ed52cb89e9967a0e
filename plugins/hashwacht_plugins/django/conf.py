"""``settings.HASHWACHT``: one dict, every key optional.

=========== ======================================================== ==============================
key         value                                                    default
=========== ======================================================== ==============================
``CONFIG``  path of Hashwacht's own configuration                    the usual place
``CHECKER`` a :class:`hashwacht.Checker`, in place of ``CONFIG``     ``Checker.configured(CONFIG)``
``POLICY``  a :class:`hashwacht_plugins.policy.Policy`               its defaults
``CLIENT_INFO``   a :class:`hashwacht_plugins.context.ClientInfo`               its defaults
=========== ======================================================== ==============================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.apps import apps  # type: ignore[import-untyped]  # Django ships no types
from django.conf import settings  # type: ignore[import-untyped]  # as above
from django.core.exceptions import ImproperlyConfigured  # type: ignore[import-untyped]  # as above

from hashwacht import Checker, HashwachtError
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.policy import Policy

NAME = "HASHWACHT"

LABEL = "hashwacht"


@dataclass(frozen=True, slots=True)
class DjangoSettings:
    """What the settings say, ready for use."""

    checker: Checker
    policy: Policy
    client_info: ClientInfo


def configured() -> DjangoSettings:
    """Return the objects that the app built from the settings.  Raises ImproperlyConfigured."""
    if not apps.is_installed("hashwacht_plugins.django"):
        raise ImproperlyConfigured("add 'hashwacht_plugins.django' to INSTALLED_APPS")
    made = apps.get_app_config(LABEL).configured()
    assert isinstance(made, DjangoSettings)
    return made


def settings_problem() -> list[str]:
    """Return what is wrong with the dict, or an empty text."""
    given = getattr(settings, NAME, {})
    if not isinstance(given, Mapping):
        return [f"settings.{NAME} is no dict"]
    kinds = {"CONFIG": str, "CHECKER": Checker, "POLICY": Policy, "CLIENT_INFO": ClientInfo}
    found = [f"settings.{NAME} has an unknown key {key!r}" for key in given if key not in kinds]
    found += [
        f"settings.{NAME}[{key!r}] is no {kind.__name__}"
        for key, kind in kinds.items()
        if key in given and not isinstance(given[key], kind)
    ]
    if "CONFIG" in given and "CHECKER" in given:
        found.append(f"settings.{NAME} has both CONFIG and CHECKER: one would be ignored")
    return found


def make() -> DjangoSettings:
    """Read the dict.  Raises ImproperlyConfigured."""
    if faults := settings_problem():
        raise ImproperlyConfigured("; ".join(faults))
    given = getattr(settings, NAME, {})
    try:
        checker = given.get("CHECKER") or Checker.configured(given.get("CONFIG"))
    except HashwachtError as error:
        raise ImproperlyConfigured(f"{error.message} {error.advice}".strip()) from error
    return DjangoSettings(
        checker, given.get("POLICY", Policy()), given.get("CLIENT_INFO", ClientInfo())
    )

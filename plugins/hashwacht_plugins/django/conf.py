"""The dict ``settings.HASHWACHT`` and the checks that ``manage.py check`` runs on it.

Every key is optional.

=============== ==================================================== ==============================
key             value                                                default
=============== ==================================================== ==============================
``CONFIG``      path of Hashwacht's own configuration file           the default path
``CHECKER``     a :class:`hashwacht.Checker`, instead of ``CONFIG``  ``Checker.configured(CONFIG)``
``POLICY``      a :class:`hashwacht_plugins.policy.Policy`           ``Policy()``
``CLIENT_INFO`` a :class:`hashwacht_plugins.context.ClientInfo`      ``ClientInfo()``
=============== ==================================================== ==============================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps  # type: ignore[import-untyped]  # Django ships no types
from django.conf import settings  # type: ignore[import-untyped]  # as above
from django.core import checks  # type: ignore[import-untyped]  # as above
from django.core.checks import CheckMessage, Error  # type: ignore[import-untyped]  # as above
from django.core.exceptions import ImproperlyConfigured  # type: ignore[import-untyped]  # as above

from hashwacht import Checker, HashwachtError
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.file_check import spool_problem
from hashwacht_plugins.policy import Policy

NAME = "HASHWACHT"
LABEL = "hashwacht"

_HANDLER = "hashwacht_plugins.django.uploadhandler.HashwachtUploadHandler"
_STORAGE = "hashwacht_plugins.django.storage.HashwachtStorage"


@dataclass(frozen=True, slots=True)
class DjangoSettings:
    """The objects built from ``settings.HASHWACHT``."""

    checker: Checker
    policy: Policy
    client_info: ClientInfo

    @classmethod
    def from_settings(cls) -> DjangoSettings:
        """Build the objects from the dict.  Raises ImproperlyConfigured."""
        if problems := _problems():
            raise ImproperlyConfigured("; ".join(problems))
        options = getattr(settings, NAME, {})
        try:
            checker = options.get("CHECKER") or Checker.configured(options.get("CONFIG"))
        except HashwachtError as error:
            raise ImproperlyConfigured(f"{error.message} {error.advice}".strip()) from error
        return cls(
            checker, options.get("POLICY", Policy()), options.get("CLIENT_INFO", ClientInfo())
        )


def configured() -> DjangoSettings:
    """Return the objects that the app built from the settings.  Raises ImproperlyConfigured."""
    if not apps.is_installed("hashwacht_plugins.django"):
        raise ImproperlyConfigured("add 'hashwacht_plugins.django' to INSTALLED_APPS")
    current = apps.get_app_config(LABEL).configured()
    assert isinstance(current, DjangoSettings)
    return current


def check_settings(app_configs: Any = None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001  # as Django calls it
    """Return problems of the settings, of Hashwacht's configuration and of the upload handlers."""
    return [*_check_options(), *_check_handlers()]


def _problems() -> list[str]:
    """Return what is wrong with the dict."""
    options = getattr(settings, NAME, {})
    if not isinstance(options, Mapping):
        return [f"settings.{NAME} is not a dict"]
    types = {"CONFIG": str, "CHECKER": Checker, "POLICY": Policy, "CLIENT_INFO": ClientInfo}
    problems = [
        f"settings.{NAME} has an unknown key {key!r}" for key in options if key not in types
    ]
    problems += [
        f"settings.{NAME}[{key!r}] is not a {expected.__name__}"
        for key, expected in types.items()
        if key in options and not isinstance(options[key], expected)
    ]
    if "CONFIG" in options and "CHECKER" in options:
        problems.append(f"settings.{NAME} has both CONFIG and CHECKER: use only one of them")
    return problems


def _check_options() -> Iterator[CheckMessage]:
    problems = _problems()
    hint = "See hashwacht_plugins.django.conf for the keys and their values."
    yield from (Error(problem, hint=hint, id="hashwacht.E001") for problem in problems)
    if problems:
        return
    try:
        current = configured()
    except ImproperlyConfigured as error:
        hint = "Run `hashwacht doctor` as the user of the web server."
        yield Error(str(error), hint=hint, id="hashwacht.E002")
        return
    if problem := spool_problem(current.policy):
        hint = f"Make it writable, or set another spool directory in settings.{NAME}['POLICY']."
        yield Error(f"{problem}, so every upload is undetermined", hint=hint, id="hashwacht.E003")


def _check_handlers() -> Iterator[CheckMessage]:
    """Check the order: a handler before ours, such as Django's in memory, may keep the chunks."""
    handlers = list(settings.FILE_UPLOAD_HANDLERS)
    if _HANDLER not in handlers and settings.STORAGES["default"]["BACKEND"] != _STORAGE:
        yield checks.Warning(
            "neither an upload handler nor the default storage checks uploads",
            hint="Add one of them; silence this warning if the middleware or a validator does.",
            id="hashwacht.W001",
        )
    if _HANDLER in handlers[1:]:
        yield Error(
            "another upload handler precedes Hashwacht's and may withhold files from it",
            hint=f"Put {_HANDLER} first in FILE_UPLOAD_HANDLERS.",
            id="hashwacht.E004",
        )
    if handlers == [_HANDLER]:
        yield Error(
            "no upload handler follows Hashwacht's, so views never get a file",
            hint="Add Django's MemoryFileUploadHandler and TemporaryFileUploadHandler after it.",
            id="hashwacht.E005",
        )

"""What ``manage.py check`` tells of a configuration that would not stop anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings  # type: ignore[import-untyped]  # Django ships no types
from django.core import checks  # type: ignore[import-untyped]  # as above
from django.core.checks import CheckMessage, Error  # type: ignore[import-untyped]  # as above
from django.core.exceptions import ImproperlyConfigured  # type: ignore[import-untyped]  # as above

from hashwacht_plugins.django.conf import NAME, DjangoSettings, configured, settings_problem
from hashwacht_plugins.upload import spool_problem

HANDLER = "hashwacht_plugins.django.uploadhandler.HashwachtUploadHandler"
STORAGE = "hashwacht_plugins.django.storage.HashwachtStorage"


def check_settings(app_configs: Any = None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001  # as Django calls it
    """Look at the settings, at Hashwacht's own configuration and at the order of handlers."""
    return [*_settings(), *_handlers()]


def _settings() -> Iterator[CheckMessage]:
    faults = settings_problem()
    hint = "See hashwacht_plugins.django.conf for the keys and what they take."
    yield from (Error(each, hint=hint, id="hashwacht.E001") for each in faults)
    if faults:
        return
    try:
        made = configured()
    except ImproperlyConfigured as error:
        hint = "Run `hashwacht doctor` as the user of the web server."
        yield Error(str(error), hint=hint, id="hashwacht.E002")
        return
    yield from _spool(made)


def _spool(made: DjangoSettings) -> Iterator[CheckMessage]:
    """Look where uploads are spooled: without that nothing is checked."""
    if fault := spool_problem(made.policy):
        hint = f"Make it writable, or name another in the Policy of settings.{NAME}."
        yield Error(f"{fault}, so every upload is undetermined", hint=hint, id="hashwacht.E003")


def _handlers() -> Iterator[CheckMessage]:
    """Look who stands before ours: Django's in memory, for one, keeps the chunks to itself."""
    handlers = list(settings.FILE_UPLOAD_HANDLERS)
    if HANDLER not in handlers and settings.STORAGES["default"]["BACKEND"] != STORAGE:
        yield checks.Warning(
            "neither an upload handler nor the default storage looks at uploads",
            hint="Add one of them; silence this if middleware or validators look.",
            id="hashwacht.W001",
        )
    if HANDLER in handlers[1:]:
        yield Error(
            "an upload handler stands before Hashwacht's and may keep files from it",
            hint=f"Put {HANDLER} first in FILE_UPLOAD_HANDLERS.",
            id="hashwacht.E004",
        )
    if handlers == [HANDLER]:
        yield Error(
            "no upload handler follows Hashwacht's, so no view ever gets a file",
            hint="Put Django's MemoryFileUploadHandler and TemporaryFileUploadHandler behind it.",
            id="hashwacht.E005",
        )

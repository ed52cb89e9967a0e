"""The Django app: builds the objects from the settings once and registers the system checks."""

from __future__ import annotations

import threading
from typing import Any

from django.apps import AppConfig  # type: ignore[import-untyped]  # Django ships no types
from django.core import checks  # type: ignore[import-untyped]  # as above
from django.core.signals import setting_changed  # type: ignore[import-untyped]  # as above

from hashwacht_plugins.django.conf import LABEL, NAME, DjangoSettings, check_settings


class HashwachtConfig(AppConfig):  # type: ignore[misc]  # as above
    """``INSTALLED_APPS = ["hashwacht_plugins.django"]``."""

    name = "hashwacht_plugins.django"
    label = LABEL
    verbose_name = "Hashwacht"

    def __init__(self, *arguments: Any) -> None:
        """Read no settings yet, so that ``manage.py check`` can report what is wrong with them."""
        super().__init__(*arguments)
        self._lock = threading.Lock()
        self._configured: DjangoSettings | None = None

    def ready(self) -> None:
        """Register the checks, and read the settings again when a test overrides them."""
        checks.register(check_settings, LABEL)
        setting_changed.connect(self._reset, dispatch_uid=LABEL)

    def configured(self) -> DjangoSettings:
        """Return the objects built from the settings, built once.  Raises ImproperlyConfigured."""
        with self._lock:
            if self._configured is None:
                self._configured = DjangoSettings.from_settings()
            return self._configured

    def _reset(self, *, setting: str, **_: Any) -> None:
        if setting == NAME:
            with self._lock:
                self._configured = None

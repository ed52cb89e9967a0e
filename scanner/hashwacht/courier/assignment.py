"""What the settings assign to the courier, for those who only need to know that.

Nothing that speaks HTTP is imported here: `hashwacht status` would load it each time.
"""

from __future__ import annotations

from hashwacht.matching.services.service_matchers import AnyService
from hashwacht.settings import HashlistSettings, Settings


def is_needed(settings: Settings) -> bool:
    """Return whether the settings need a courier."""
    return bool(service_names(settings) or list_names(settings))


def services(settings: Settings) -> list[AnyService]:
    """Return the matching services that it queries."""
    return [matcher for matcher in settings.matchers if not isinstance(matcher, HashlistSettings)]


def service_names(settings: Settings) -> list[str]:
    """Return the names of its services and channels."""
    return [*(service.name for service in services(settings)), *settings.alerts.channels]


def list_names(settings: Settings) -> list[str]:
    """Return the names of the lists that it fetches."""
    return [source.name for source in settings.lists if source.url]

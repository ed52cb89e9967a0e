"""Contents recorded in an open database, for tests that need only their numbers."""

from __future__ import annotations

from collections.abc import Iterable

from hashwacht.core.types import Fingerprint
from hashwacht.storage.contents import Contents
from hashwacht.storage.sqlite.database import Database


def record_contents(
    database: Database, fingerprints: Iterable[Fingerprint], now: float
) -> dict[str, int]:
    """Record fingerprints and return the numbers of their contents, by key."""
    return {
        key: content.id for key, content in Contents(database).record(fingerprints, now).items()
    }

"""Epochs: small numbers for "what all configured matchers knew at that time"."""

from __future__ import annotations

from hashwacht.storage.sqlite.database import Database


class Epochs:
    """Numbers the texts that describe the revisions of all configured matchers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, key: str) -> int:
        """Return the number of *key*, the same for ever; a new key gets a new one."""
        with self._database.reading() as connection:
            known = self._database.epochs.find(connection, key)
        if known is not None:
            return known
        with self._database.transaction() as writer:
            return self._database.epochs.number(writer, key)

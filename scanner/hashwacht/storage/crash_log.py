"""Crash log: contents that ended the workers decoding them, so that retries are bounded.

Crashes are counted for each decoder, that is, for each version of the libraries.  (Table
``culprits``.)
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hashwacht.core.ports import MAX_CRASHES
from hashwacht.core.types import Reason
from hashwacht.storage.sqlite.database import Database


class StoredCrashLog:
    """A :class:`hashwacht.core.ports.CrashLog` that survives restarts."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        """*clock* returns Unix time in seconds."""
        self._database, self._clock, self._decoder = database, clock, ""

    def set_decoder(self, decoder: str) -> None:
        """Set the decoder in use; crashes of other decoders do not count."""
        self._decoder = decoder

    def block_reason(self, key: str) -> Reason | None:
        """Return the reason if a content has crashed this decoder too often."""
        return self._load("c.key = ?", bytes.fromhex(key))

    def is_blocked_content(self, content: int) -> bool:
        """Return whether a stored content, by number, is blocked."""
        where = "c.key = (SELECT key FROM fingerprints WHERE content = ?)"
        return self._load(where, content) is not None

    def _load(self, where: str, value: bytes | int) -> Reason | None:
        row = self._database.fetch_one(
            "SELECT r.text FROM culprits AS c JOIN words AS d ON d.id = c.decoder"  # noqa: S608 - both are our own
            " JOIN words AS r ON r.id = c.reason"
            f" WHERE {where} AND d.text = ? AND c.times >= ?",
            (value, self._decoder, MAX_CRASHES),
        )
        return None if row is None else Reason(row[0])

    def record_crash(self, key: str, reason: Reason) -> None:
        """Record one more crash."""
        words = self._database.words
        with self._database.transaction() as writer:
            decoder = words.intern(writer, self._decoder)
            writer.execute(
                "INSERT INTO culprits VALUES (?, ?, 1, ?, ?) ON CONFLICT (key, decoder) DO UPDATE"
                " SET times = times + 1, reason = excluded.reason, last = excluded.last",
                (bytes.fromhex(key), decoder, words.intern(writer, reason), self._clock()),
            )

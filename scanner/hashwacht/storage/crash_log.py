"""Contents that ended the workers that decoded them, so that they are not tried for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from hashwacht.core.ports import MAX_CRASHES
from hashwacht.core.types import Reason
from hashwacht.storage.sqlite.database import Database


class StoredCrashLog:
    """A :class:`hashwacht.core.ports.StoredCrashLog` that survives restarts."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        """*clock* gives Unix time in seconds."""
        self._database = database
        self._clock = clock
        self._decoder = ""

    def set_decoder(self, decoder: str) -> None:
        """Say which decoder is at work from now on; what others did to others is no matter."""
        self._decoder = decoder

    def block_reason(self, key: str) -> Reason | None:
        """Say what the content did, if it did it too often to this decoder."""
        return self._found("c.key = ?", bytes.fromhex(key))

    def is_blocked_content(self, content: int) -> bool:
        """Tell the same of a content in the state, by its number."""
        where = "c.key = (SELECT key FROM fingerprints WHERE content = ?)"
        return self._found(where, content) is not None

    def _found(self, where: str, value: bytes | int) -> Reason | None:
        with self._database.read_connection() as connection:
            row = connection.execute(
                "SELECT r.text FROM culprits AS c JOIN words AS d ON d.id = c.decoder"  # noqa: S608 - both are our own
                " JOIN words AS r ON r.id = c.reason"
                f" WHERE {where} AND d.text = ? AND c.times >= ?",
                (value, self._decoder, MAX_CRASHES),
            ).fetchone()
        return None if row is None else Reason(row[0])

    def record_crash(self, key: str, reason: Reason) -> None:
        """Note that it did it, once more."""
        words = self._database.words
        with self._database.transaction() as writer:
            writer.execute(
                "INSERT INTO culprits VALUES (?, ?, 1, ?, ?) ON CONFLICT (key, decoder) DO UPDATE"
                " SET times = times + 1, reason = excluded.reason, last = excluded.last",
                (
                    bytes.fromhex(key),
                    words.intern(writer, self._decoder),
                    words.intern(writer, reason),
                    self._clock(),
                ),
            )

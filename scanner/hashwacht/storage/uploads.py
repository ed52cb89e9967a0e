"""What is recorded on behalf of uploaders: bounded for each client, in total, and in age.

A hoster that learns of a match has to report what it knows (Regulation (EU) 2022/2065, article
18): the user, the file, the time and the address.  The web application knows them only during the
request, and a match may come weeks later, when a list has grown.  So the circumstances of each
upload are recorded until its content is found to have no match.  They are not signals: no matcher
has a parameter for them.

Anyone who may upload can make contents that are undetermined.  Where a bound is reached the oldest
records of that client are removed, those of contents without a match first; a record of a content
with a case stays.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hashwacht.core.types import Outcome
from hashwacht.core.upload_context import UploadContext, client_of, decode_context, encode_context
from hashwacht.storage.sqlite.database import DatabaseTable

PER_CONTENT = 10
"""Records of one content by one client: more of the same say nothing new."""

PER_CONTENT_WITH_EVENT = 200
"""As many if uploaders were shown the event of each, by which a support desk finds the case."""

CLIENT_SHARE = 20
"""One client has at most this part of all records, one in so many."""

MAX_TAKEN_OVER = 100
"""Records of one content that are taken over from a file of an earlier version."""

_KEY = re.compile(r"[0-9a-f]{64}")

_PRUNE_EVERY = 64
"""Records between two checks of the total and of the age."""

_MAX_CRASHES = 10_000
"""Contents in the crash log."""

_RANKS = {Outcome.NO_MATCH: 0, Outcome.UNDETERMINED: 1, Outcome.MATCH: 2}

_SELECT_OLD = """
    SELECT id FROM uploads WHERE at < ?
    AND NOT EXISTS (SELECT 1 FROM cases WHERE cases.key = uploads.key)"""

_SELECT_LEAST = """
    SELECT id FROM uploads WHERE client = ?
    AND NOT EXISTS (SELECT 1 FROM cases WHERE cases.key = uploads.key)
    ORDER BY outcome, id LIMIT ?"""

_SELECT_LARGEST = """
    SELECT client, count(*) FROM uploads
    WHERE NOT EXISTS (SELECT 1 FROM cases WHERE cases.key = uploads.key)
    GROUP BY client ORDER BY 2 DESC LIMIT 1"""


@dataclass(frozen=True, slots=True)
class UploadQuota:
    """At most *total* records, which are removed after *max_age* seconds."""

    total: int = 20_000
    max_age: float = 90 * 86400.0

    @property
    def per_client(self) -> int:
        """The number of records of one client."""
        return max(PER_CONTENT, self.total // CLIENT_SHARE)


class UploadRecords(DatabaseTable):
    """The circumstances of uploads, by content, and the contents that only uploads had."""

    def record(
        self,
        key: str,
        context: UploadContext | None,
        outcome: Outcome,
        now: float,
        quota: UploadQuota | None = None,
    ) -> None:
        """Record an upload of the content *key* at *now* (Unix time); joins a transaction.

        Of a content without a match nothing but its client is recorded.  Raises StorageError.
        """
        quota, client = quota or UploadQuota(), client_of(context)
        raw, rank = bytes.fromhex(key), _RANKS[outcome]
        text = "" if context is None or not rank else encode_context(context)
        with self._database.transaction() as writer:
            number = writer.execute(
                "INSERT INTO uploads (key, client, at, outcome, context) VALUES (?, ?, ?, ?, ?)",
                (raw, client, now, rank, text),
            ).lastrowid
            assert number is not None
            most = PER_CONTENT_WITH_EVENT if context and context.event else PER_CONTENT
            self._bound_content(writer, raw, client, most if rank else 1)
            self._bound_client(writer, client, quota.per_client)
            if number % _PRUNE_EVERY == 0:
                self.prune(now, quota)

    def take_over(self, directory: Path) -> None:
        """Record the uploads that an earlier version stored as files, and remove the files.

        A file that cannot be read stays.  It is removed once its records are durable; if a crash
        prevents that, they are not recorded again.  Raises StorageError.
        """
        with suppress(OSError):
            for file in sorted(directory.iterdir()):
                if _KEY.fullmatch(file.name):
                    with suppress(OSError, ValueError, TypeError):
                        self._take_over_file(file)
                        file.unlink()
            directory.rmdir()

    def _take_over_file(self, file: Path) -> None:
        raw, at = bytes.fromhex(file.name), file.stat().st_mtime
        lines = file.read_text("ascii").splitlines()
        contexts = [decode_context(line) for line in lines[-MAX_TAKEN_OVER:]]
        with self._database.transaction(durable=True) as writer:
            query = "SELECT 1 FROM uploads WHERE key = ? AND at = ? LIMIT 1"
            if writer.execute(query, (raw, at)).fetchone() is None:
                writer.executemany(
                    "INSERT INTO uploads (key, client, at, outcome, context)"
                    " VALUES (?, ?, ?, 1, ?)",
                    [
                        (raw, client_of(context), at, encode_context(context))
                        for context in contexts
                    ],
                )

    def load(self, key: str) -> list[UploadContext]:
        """Return the recorded uploads of a content, the oldest first."""
        rows = self._database.fetch_all(
            "SELECT context FROM uploads WHERE key = ? AND context != '' ORDER BY id",
            (bytes.fromhex(key),),
        )
        return [decode_context(text) for (text,) in rows]

    def key_of_event(self, event: str) -> str | None:
        """Return the content whose upload was given the number *event*; None if there is none.

        Reads all records: for a person who looks up one number.
        """
        query = (
            "SELECT key FROM uploads WHERE context != ''"
            " AND json_extract(context, '$.event') = ? ORDER BY id DESC LIMIT 1"
        )
        row = self._database.fetch_one(query, (event,))
        return None if row is None else row[0].hex()

    def keys(self) -> Iterator[str]:
        """Yield the contents with recorded uploads, in no order."""
        query = "SELECT DISTINCT key FROM uploads WHERE context != ''"
        yield from (raw.hex() for (raw,) in self._database.fetch_all(query))

    def last_recorded_at(self, key: str) -> float | None:
        """Return the Unix time of the last recorded upload of a content; None if never."""
        query = "SELECT max(at) FROM uploads WHERE key = ? AND context != ''"
        (at,) = self._database.fetch_one(query, (bytes.fromhex(key),))
        return None if at is None else float(at)

    def remove(self, key: str) -> None:
        """Remove the circumstances of a content's uploads; its client stays recorded."""
        self._database.execute(
            "UPDATE uploads SET context = '', outcome = 0 WHERE key = ?", (bytes.fromhex(key),)
        )

    def record_outcome(self, key: str, outcome: Outcome) -> None:
        """Record the verdict on a content that was recorded before it; joins a transaction."""
        if outcome is Outcome.NO_MATCH:
            self.remove(key)
        elif outcome is Outcome.MATCH:
            query = "UPDATE uploads SET outcome = 2 WHERE key = ?"
            self._database.execute(query, (bytes.fromhex(key),))

    def count(self) -> int:
        """Return the number of records."""
        (number,) = self._database.fetch_one("SELECT count(*) FROM uploads")
        return int(number)

    def prune(self, now: float, quota: UploadQuota) -> int:
        """Remove what is too old or too much; return how many records."""
        with self._database.transaction() as writer:
            before = self._count(writer)
            self._remove(writer, writer.execute(_SELECT_OLD, (now - quota.max_age,)))
            while (excess := self._count(writer) - quota.total) > 0:
                row = writer.execute(_SELECT_LARGEST).fetchone()
                if row is None:
                    break
                client, number = row
                self._evict(writer, client, min(excess, -(-number // 2)))
            writer.execute(
                "DELETE FROM culprits WHERE last < ? OR last < (SELECT last FROM culprits"
                " ORDER BY last DESC LIMIT 1 OFFSET ?)",
                (now - quota.max_age, _MAX_CRASHES),
            )
            return before - self._count(writer)

    @staticmethod
    def _count(writer: sqlite3.Connection) -> int:
        (number,) = writer.execute("SELECT count(*) FROM uploads").fetchone()
        return int(number)

    def _bound_content(
        self, writer: sqlite3.Connection, raw: bytes, client: str, most: int
    ) -> None:
        writer.execute(
            "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE key = ? AND client = ?"
            " ORDER BY id DESC LIMIT -1 OFFSET ?)",
            (raw, client, most),
        )

    def _bound_client(self, writer: sqlite3.Connection, client: str, most: int) -> None:
        query = "SELECT count(*) FROM uploads WHERE client = ?"
        (number,) = writer.execute(query, (client,)).fetchone()
        if number > most:
            self._evict(writer, client, number - most)

    def _evict(self, writer: sqlite3.Connection, client: str, number: int) -> None:
        """Remove records of one client, the least useful and oldest first."""
        rows = writer.execute(_SELECT_LEAST, (client, number))
        self._remove(writer, rows)

    def _remove(self, writer: sqlite3.Connection, rows: Iterable[tuple[int]]) -> None:
        """Remove records, and contents that nothing else refers to any more."""
        for (number,) in list(rows):
            query = "DELETE FROM uploads WHERE id = ? RETURNING key"
            for (raw,) in writer.execute(query, (number,)).fetchall():
                _remove_unused_content(writer, raw)


def _remove_unused_content(writer: sqlite3.Connection, raw: bytes) -> None:
    """Remove a content that has no upload, file, case or location."""
    for table in ("uploads", "cases", "places", "accepted"):
        if writer.execute(f"SELECT 1 FROM {table} WHERE key = ? LIMIT 1", (raw,)).fetchone():  # noqa: S608  # our own names
            return
    row = writer.execute(
        "SELECT content FROM fingerprints WHERE substr(key, 1, 8) = ? AND key = ?", (raw[:8], raw)
    ).fetchone()
    query = "SELECT 1 FROM files WHERE content = ? LIMIT 1"
    if row is None or writer.execute(query, row).fetchone():
        return
    waiting = "SELECT 1 FROM unanswered WHERE content = ? AND path != x''"
    if writer.execute(waiting, row).fetchone():
        return
    for table, column in (
        ("unanswered", "content"),
        ("matches", "content"),
        ("answers", "content"),
        ("fingerprints", "content"),
        ("contents", "id"),
    ):
        writer.execute(f"DELETE FROM {table} WHERE {column} = ?", row)  # noqa: S608  # as above

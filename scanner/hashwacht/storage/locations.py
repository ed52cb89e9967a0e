"""File locations: where the content of a case was found, and the state of each file there.

A file that is held because its content is undetermined has a location and no case.  (Table
``places``.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import astuple, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from hashwacht.core.types import Action, FileId
from hashwacht.storage.sqlite.database import DatabaseTable
from hashwacht.storage.sqlite.encoding import decode_text, encode_text


class LocationState(StrEnum):
    """The state of the file at a location."""

    OBSERVED = "observed"
    """Recorded only; no action was taken."""
    PENDING = "pending"
    """An action is in progress; after a crash its outcome has to be checked."""
    WAITING = "waiting"
    """A reached action limit pauses the action."""
    FAILED = "failed"
    """The action failed and will be retried."""
    HELD = "held"
    """Access to the file is blocked."""
    QUARANTINED = "quarantined"
    """The file is sealed in quarantine."""
    RELEASED = "released"
    """Access was blocked and is possible again."""
    RESTORING = "restoring"
    """The file is being restored; after a crash the outcome has to be checked."""
    RESTORED = "restored"
    """The file was restored from quarantine; no further action is taken here."""
    DESTROYING = "destroying"
    """The file is being destroyed; after a crash the outcome has to be checked."""
    DESTROYED = "destroyed"
    """The quarantined file was destroyed by decision."""
    GONE = "gone"
    """The file was missing or had other content before an action was taken."""

    @property
    def live(self) -> bool:
        """True if the file is expected at its path."""
        return self not in {
            LocationState.QUARANTINED,
            LocationState.DESTROYING,
            LocationState.DESTROYED,
            LocationState.GONE,
        }


@dataclass(frozen=True, slots=True)
class FileLocation:
    """A file with the content of a case.  Times are Unix seconds.

    *id* and *number* are 0 until the location is recorded; *number* counts the locations of a
    content from 1.  *key* is the SHA-256 of the content, *file* the identity that was hashed, *uid*
    and *account* its owner (None and empty if unknown).  *rule* decided on *action*, which was
    carried out at *acted_at*, counted by the action limits at *counted_at* and is (re)tried at
    *due*.  *limit_id* is the reached limit that pauses it, *vault* the name of the quarantined
    entry, *held* the record that is needed to unblock the file, *site* is JSON with what a hosting
    panel knows of the path: panel, account, domain, reseller (empty: nothing), *list* the new hash
    list, MATCHER/LIST, that alone knows the content (empty: none).
    """

    id: int
    key: str
    root: str
    path: bytes
    file: FileId
    uid: int | None
    account: str
    found_at: float
    action: Action
    rule: str
    state: LocationState
    acted_at: float | None = None
    counted_at: float | None = None
    attempts: int = 0
    due: float | None = None
    limit_id: int | None = None
    vault: str = ""
    held: str = ""
    detail: str = ""
    number: int = 0
    site: str = ""
    list: str = ""

    def is_same_file(self, other: FileLocation) -> bool:
        """Return whether both locations are hard links of one file."""
        return (self.file.dev, self.file.ino) == (other.file.dev, other.file.ino)


_FIELDS = tuple(field.name for field in fields(FileLocation))
_COLUMN_OF = {
    "found_at": "found",
    "acted_at": "acted",
    "counted_at": "counted",
    "limit_id": "flood",
}
_COLUMNS = tuple(_COLUMN_OF.get(name, name) for name in _FIELDS)
_NAMES = (*_COLUMNS[1:], "live")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM places "  # noqa: S608  # our own constants
_INSERT = f"INSERT INTO places ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608  # our own constants
_UPDATE = f"UPDATE places SET {', '.join(f'{name} = ?' for name in _NAMES)} WHERE id = ?"  # noqa: S608  # our own constants

_ENCODERS: Mapping[str, Callable[[Any], Any]] = {
    "key": bytes.fromhex,
    "file": lambda file: json.dumps(astuple(file)),
    "account": encode_text,
    "held": encode_text,
    "detail": encode_text,
    "site": encode_text,
}

_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "key": bytes.hex,
    "file": lambda text: FileId(*json.loads(text)),
    "account": decode_text,
    "action": Action,
    "state": LocationState,
    "held": decode_text,
    "detail": decode_text,
    "site": decode_text,
}


class FileLocations(DatabaseTable):
    """All file locations, including those of files that are gone."""

    def load_live(self, path: bytes) -> list[FileLocation]:
        """Return the live locations at a path, one for each content."""
        return self._load("WHERE path = ? AND live = 1 ORDER BY id", path)

    def load_by_content(
        self, key: str, limit: int = -1, *states: LocationState
    ) -> list[FileLocation]:
        """Return the newest locations of a content first; only those in *states* if given."""
        chosen = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
        return self._load(
            f"WHERE key = ?{chosen} ORDER BY id DESC LIMIT ?", bytes.fromhex(key), *states, limit
        )

    def load_all(self) -> list[FileLocation]:
        """Return all locations of all contents."""
        return self._load("ORDER BY id")

    def load(self, number: int) -> FileLocation | None:
        """Return the location with a number."""
        return next(iter(self._load("WHERE id = ?", number)), None)

    def load_due(self, now: float, latest: float, limit: int) -> list[FileLocation]:
        """Return locations whose action is due, the longest due first.

        One that is due after *latest* was recorded before the clock was set back: it is due too.
        """
        return self._load("WHERE due <= ? OR due > ? ORDER BY due, id LIMIT ?", now, latest, limit)

    def count_failed(self) -> int:
        """Count the files whose action has failed and will be retried."""
        (number,) = self._database.fetch_one(
            "SELECT count(*) FROM places WHERE due IS NOT NULL AND attempts > 0"
        )
        return int(number)

    def count_by_state(self, key: str) -> dict[LocationState, int]:
        """Return how many locations of a content there are in each state."""
        rows = self._database.fetch_all(
            "SELECT state, count(*) FROM places WHERE key = ? GROUP BY state ORDER BY state",
            (bytes.fromhex(key),),
        )
        return {LocationState(state): number for state, number in rows}

    def is_first_of_account(self, location: FileLocation) -> bool:
        """Return whether this is the first location of its content for its owner and root."""
        row = self._database.fetch_one(
            "SELECT min(id) FROM places WHERE key = ? AND root = ? AND uid IS ?",
            (bytes.fromhex(location.key), location.root, location.uid),
        )
        return bool(row[0] == location.id)

    def record(self, location: FileLocation) -> FileLocation:
        """Record a location; one without a number is added."""
        with self._database.transaction() as writer:
            if location.id:
                writer.execute(_UPDATE, (*_row(location), location.id))
                return location
            (last,) = writer.execute(
                "SELECT ifnull(max(number), 0) FROM places WHERE key = ?",
                (bytes.fromhex(location.key),),
            ).fetchone()
            numbered = replace(location, number=last + 1)
            return replace(numbered, id=self._database.insert(_INSERT, _row(numbered)))

    def remove(self, location: FileLocation) -> None:
        """Remove a location that belongs to no case."""
        self._database.execute("DELETE FROM places WHERE id = ?", (location.id,))

    def count_acted(self, since: float, most: int, **equal: Any) -> int:
        """Count actions since a time, up to *most*, with *equal* root, key or uid."""
        which = "".join(f" AND {name} = ?" for name in equal)
        (number,) = self._database.fetch_one(
            "SELECT count(*) FROM (SELECT 1 FROM places"  # noqa: S608  # our own names
            f" WHERE counted > ?{which} LIMIT ?)",
            (since, *equal.values(), most),
        )
        return int(number)

    def is_new_account(self, uid: int | None, since: float, most: int, **equal: Any) -> bool:
        """Return whether *most* accounts, without that of *uid*, have had actions since a time.

        *equal* is the root or key of the files that are counted.
        """
        which = "".join(f" AND {name} = ?" for name in equal)
        counted, values = f"FROM places WHERE counted > ?{which}", (since, *equal.values())
        own = f"SELECT 1 {counted} AND uid IS ? LIMIT 1"
        if self._database.fetch_all(own, (*values, uid)):
            return False
        (number,) = self._database.fetch_one(
            f"SELECT count(*) FROM (SELECT DISTINCT uid {counted} LIMIT ?)",  # noqa: S608  # our own names
            (*values, most),
        )
        return int(number) >= most

    def approve(self, limit_id: int, now: float) -> int:
        """Make all actions due that a reached limit pauses; return their number."""
        return self._database.execute(
            "UPDATE places SET due = ? WHERE flood = ? AND state IN ('waiting', 'held')",
            (now, limit_id),
        ).rowcount

    def discard(self, limit_id: int, detail: str) -> int:
        """Drop all actions that a reached limit pauses; return their number."""
        return self._database.execute(
            "UPDATE places SET state = 'observed', due = NULL, detail = ?"
            " WHERE flood = ? AND state = 'waiting'",
            (detail, limit_id),
        ).rowcount

    def reinstate(self, limit_id: int, now: float) -> int:
        """Make all actions due again that were dropped by a limit; return their number.

        Held files that were to be quarantined are due as well and are counted again.
        """
        with self._database.transaction() as writer:
            writer.execute(
                "UPDATE places SET due = ?, flood = NULL WHERE flood = ? AND state = 'held'",
                (now, limit_id),
            )
            return writer.execute(
                "UPDATE places SET state = 'failed', due = ?, attempts = 0"
                " WHERE flood = ? AND state = 'observed'",
                (now, limit_id),
            ).rowcount

    def release_undetermined(self, but: Collection[str], now: float) -> None:
        """Make files due that are held as undetermined, in all roots except *but*."""
        self._database.execute(
            "UPDATE places SET due = ? WHERE state = 'held' AND rule = 'undetermined'"  # noqa: S608  # only marks
            f" AND root NOT IN ({', '.join('?' * len(but))})",
            (now, *but),
        )

    def count_paused(self, limits: Collection[int]) -> dict[int, int]:
        """Return how many actions each of these reached limits pauses."""
        with self._database.read_connection() as connection:
            query = "SELECT count(*) FROM places WHERE flood = ? AND state IN ('waiting', 'held')"
            return {limit: connection.execute(query, (limit,)).fetchone()[0] for limit in limits}

    def _load(self, condition: str, *values: object) -> list[FileLocation]:
        return [_location(row) for row in self._database.fetch_all(_SELECT + condition, values)]


def _row(location: FileLocation) -> list[object]:
    """Return all columns except the number of the row."""
    encoded = (_ENCODERS.get(name, _same)(getattr(location, name)) for name in _FIELDS[1:])
    return [*encoded, location.state.live]


def _location(row: tuple[Any, ...]) -> FileLocation:
    values = zip(_FIELDS, row, strict=True)
    return FileLocation(*(_DECODERS.get(name, _same)(value) for name, value in values))


def _same(value: Any) -> Any:
    return value

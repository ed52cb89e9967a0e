"""Places: where the content of a case was found, and what became of the file there."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import astuple, dataclass, fields, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from hashwacht.core.types import Action, FileId
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.encoding import decode_text, encode_text


class LocationState(StrEnum):
    """How the file of a place stands."""

    OBSERVED = "observed"
    """Nothing was done."""
    PENDING = "pending"
    """About to be acted upon; after a crash it is not known how far that came."""
    WAITING = "waiting"
    """The flood guard holds the action."""
    FAILED = "failed"
    """The action failed and is tried again."""
    HELD = "held"
    """It cannot be served."""
    QUARANTINED = "quarantined"
    """It is sealed away."""
    RELEASED = "released"
    """It was held and can be served again."""
    RESTORING = "restoring"
    """About to be put back; after a crash it is not known how far that came."""
    RESTORED = "restored"
    """It was sealed and is back; left alone here from now on."""
    DESTROYING = "destroying"
    """About to be destroyed; after a crash it is not known how far that came."""
    DESTROYED = "destroyed"
    """The sealed file was destroyed by a human decision."""
    GONE = "gone"
    """It was not there any more, or held something else, before it was acted upon."""

    @property
    def live(self) -> bool:
        """Say if the file is likely to be at its path."""
        return self not in _ELSEWHERE


_ELSEWHERE = frozenset(
    {
        LocationState.QUARANTINED,
        LocationState.DESTROYING,
        LocationState.DESTROYED,
        LocationState.GONE,
    }
)


@dataclass(frozen=True, slots=True)
class FileLocation:
    """A file with a certain content.  Times are Unix seconds; *id*, *number* 0 until it is added.

    *key* is the SHA-256 of the content and *number* counts its places from 1; *file* is what was
    hashed, *uid* and *account* are its owner (None and empty if nobody knows).  *action* was
    decided by *rule*; *acted* is when it was carried out, *counted* when the flood guard counted
    it, *due* when to try (again).  *flood* holds the action, *vault* names what was sealed, *held*
    is what undoes the holding.
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

    def is_same_file(self, other: FileLocation) -> bool:
        """Say if it is one file under two names, as far as is known."""
        return (self.file.dev, self.file.ino) == (other.file.dev, other.file.ino)


_FIELDS = tuple(field.name for field in fields(FileLocation))
_RENAMED = {"found_at": "found", "acted_at": "acted", "counted_at": "counted", "limit_id": "flood"}
_COLUMNS = tuple(_RENAMED.get(name, name) for name in _FIELDS)
_NAMES = (*_COLUMNS[1:], "live")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM places "  # noqa: S608  # our own constants
_INSERT = f"INSERT INTO places ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608  # our own constants
_UPDATE = f"UPDATE places SET {', '.join(f'{name} = ?' for name in _NAMES)} WHERE id = ?"  # noqa: S608  # our own constants

_WRITTEN: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "key": bytes.fromhex,
        "file": lambda file: json.dumps(astuple(file)),
        "account": encode_text,
        "held": encode_text,
        "detail": encode_text,
    }
)
"""How fields are written that are not written as they are."""

_READ: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "key": bytes.hex,
        "file": lambda text: FileId(*json.loads(text)),
        "account": decode_text,
        "action": Action,
        "state": LocationState,
        "held": decode_text,
        "detail": decode_text,
    }
)


class FileLocations:
    """All places ever, those that are history too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load_live(self, path: bytes) -> list[FileLocation]:
        """Give those at a path whose file may still be there; one for each content."""
        return self._read("WHERE path = ? AND live = 1 ORDER BY id", path)

    def load_by_content(
        self, key: str, limit: int = -1, *states: LocationState
    ) -> list[FileLocation]:
        """Give the places of a content, the newest first; only those in *states* if any."""
        which = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
        return self._read(
            f"WHERE key = ?{which} ORDER BY id DESC LIMIT ?", bytes.fromhex(key), *states, limit
        )

    def load(self, number: int) -> FileLocation | None:
        """Give one by its number."""
        return next(iter(self._read("WHERE id = ?", number)), None)

    def load_due(self, now: float, limit: int) -> list[FileLocation]:
        """Give those that are to be tried now, the longest waiting first."""
        return self._read("WHERE due <= ? ORDER BY due, id LIMIT ?", now, limit)

    def count_failed(self) -> int:
        """Say about how many files something failed that is tried again, or holds instead."""
        with self._database.read_connection() as connection:
            (number,) = connection.execute(
                "SELECT count(*) FROM places WHERE due IS NOT NULL AND attempts > 0"
            ).fetchone()
        return int(number)

    def count_by_state(self, key: str) -> dict[LocationState, int]:
        """Say how many places of a content there are in each state."""
        with self._database.read_connection() as connection:
            rows = connection.execute(
                "SELECT state, count(*) FROM places WHERE key = ? GROUP BY state ORDER BY state",
                (bytes.fromhex(key),),
            )
            return {LocationState(state): number for state, number in rows.fetchall()}

    def is_first_of_account(self, place: FileLocation) -> bool:
        """Say if this is the first place of its content with this owner in this root."""
        with self._database.read_connection() as connection:
            row = connection.execute(
                "SELECT min(id) FROM places WHERE key = ? AND root = ? AND uid IS ?",
                (bytes.fromhex(place.key), place.root, place.uid),
            ).fetchone()
        return bool(row[0] == place.id)

    def record(self, place: FileLocation) -> FileLocation:
        """Keep a place as it is now; add it if it has no number yet."""
        with self._database.transaction() as writer:
            if place.id:
                writer.execute(_UPDATE, (*_row(place), place.id))
                return place
            (last,) = writer.execute(
                "SELECT ifnull(max(number), 0) FROM places WHERE key = ?",
                (bytes.fromhex(place.key),),
            ).fetchone()
            new = replace(place, number=last + 1)
            added = writer.execute(_INSERT, _row(new)).lastrowid
        assert added is not None
        return replace(new, id=added)

    def remove(self, place: FileLocation) -> None:
        """Forget a place that belongs to no case."""
        with self._database.transaction() as writer:
            writer.execute("DELETE FROM places WHERE id = ?", (place.id,))

    def count_acted(self, since: float, most: int, **equal: Any) -> int:
        """Count what was acted upon since a moment, up to *most*, by root, key, uid."""
        which = "".join(f" AND {name} = ?" for name in equal)
        with self._database.read_connection() as connection:
            (number,) = connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM places"  # noqa: S608  # our own names
                f" WHERE counted > ?{which} LIMIT ?)",
                (since, *equal.values(), most),
            ).fetchone()
        return int(number)

    def approve(self, flood: int, now: float) -> int:
        """Make everything due that a flood holds; say how much that is."""
        with self._database.transaction() as writer:
            return writer.execute(
                "UPDATE places SET due = ? WHERE flood = ? AND state IN ('waiting', 'held')",
                (now, flood),
            ).rowcount

    def discard(self, flood: int, detail: str) -> int:
        """Drop everything that a flood holds; say how much that was."""
        with self._database.transaction() as writer:
            return writer.execute(
                "UPDATE places SET state = 'observed', due = NULL, detail = ?"
                " WHERE flood = ? AND state = 'waiting'",
                (detail, flood),
            ).rowcount

    def reinstate(self, flood: int, now: float) -> int:
        """Make everything due again that was dropped because of a flood; say how much that is.

        So is what lies held and was to be sealed; it is not let go, but asked about again.
        """
        with self._database.transaction() as writer:
            writer.execute(
                "UPDATE places SET due = ?, flood = NULL WHERE flood = ? AND state = 'held'",
                (now, flood),
            )
            return writer.execute(
                "UPDATE places SET state = 'failed', due = ?, attempts = 0"
                " WHERE flood = ? AND state = 'observed'",
                (now, flood),
            ).rowcount

    def release_undetermined(self, but: Collection[str], now: float) -> None:
        """Make due what is held because nobody could answer, in all roots *but* these."""
        with self._database.transaction() as writer:
            writer.execute(
                "UPDATE places SET due = ? WHERE state = 'held' AND rule = 'undetermined'"  # noqa: S608  # only marks
                f" AND root NOT IN ({', '.join('?' * len(but))})",
                (now, *but),
            )

    def count_held(self, floods: Collection[int]) -> dict[int, int]:
        """Say how many actions each flood holds."""
        with self._database.read_connection() as connection:
            asked = (
                (
                    flood,
                    connection.execute(
                        "SELECT count(*) FROM places WHERE flood = ? AND state = 'waiting'",
                        (flood,),
                    ).fetchone()[0],
                )
                for flood in floods
            )
            return dict(asked)

    def _read(self, rest: str, *values: object) -> list[FileLocation]:
        with self._database.read_connection() as connection:
            return [_place(row) for row in connection.execute(_SELECT + rest, values).fetchall()]


def _row(place: FileLocation) -> list[object]:
    """Give all columns but the number of the row."""
    values: dict[str, Any] = {name: getattr(place, name) for name in _FIELDS[1:]}
    return [*(_WRITTEN.get(name, _same)(values[name]) for name in values), place.state.live]


def _place(row: tuple[Any, ...]) -> FileLocation:
    read = (_READ.get(name, _same)(value) for name, value in zip(_FIELDS, row, strict=True))
    return FileLocation(*read)


def _same(value: Any) -> Any:
    return value

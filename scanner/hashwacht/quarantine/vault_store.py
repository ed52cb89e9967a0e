"""The vault as it lies on the disk; who reads or changes an entry goes through here.

::

    VAULT/                      0700
    ├── entries/ID/             one for each file
    │   ├── record.json         what is known of it; the receipt when it is gone
    │   └── content.age         the sealed content
    ├── open/ID                 there while something with the entry is half done
    └── reserve                 space kept back, so that a full disk can still be emptied

A process that works on an entry holds a lock (flock(2)) on ``open/ID``.  A lock dies with its
process, the file does not: what has the file and no lock was interrupted.  So coming back after
a crash costs what was interrupted, however many entries there are.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hashwacht.platform import atomic
from hashwacht.platform.atomic import Reserve
from hashwacht.platform.locks import EntryLock
from hashwacht.quarantine.record import EntryRecord

MAX_RECORD_SIZE = 32 * 1024 * 1024
"""Bytes; attributes in Base64 and evidence together are less."""

RESERVE_SIZE = 64 * 1024
"""Bytes; the two records of one destruction are less, if the attributes are not huge."""

_ID = re.compile(r"[0-9a-f]{16}")


class VaultEntry:
    """One directory in ``entries``."""

    __slots__ = ("content", "id", "path", "record")

    def __init__(self, path: Path) -> None:
        """*path* need not be there."""
        self.path, self.id = path, path.name
        self.record, self.content = path / "record.json", path / "content.age"

    def create(self, record: EntryRecord) -> None:
        """Make the directory and write its first record, both durable.  Raises OSError."""
        self.path.mkdir(mode=0o700)
        atomic.write(self.record, record.to_json())
        atomic.sync_directory(self.path.parent)

    def write(self, record: EntryRecord) -> None:
        """Replace the record, durable.  Raises OSError; then the old one stands."""
        atomic.write(self.record, record.to_json())

    def read(self) -> EntryRecord:
        """Read the record.  Raises OSError, or ValueError if it is damaged."""
        with self.record.open("rb") as file:
            return EntryRecord.from_json(file.read(MAX_RECORD_SIZE))

    def remove_temporary(self) -> None:
        """Remove a record whose writing was interrupted.  Raises OSError."""
        atomic.remove_temporary(self.record)

    def create_content(self) -> int:
        """Make the empty file for the sealed content; gives its descriptor.  Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.content, flags, 0o600)

    def remove_content(self) -> None:
        """Remove the sealed content for good; it may be gone already.  Raises OSError."""
        atomic.remove(self.content)

    def remove(self) -> None:
        """Remove everything, what is needed to come back last; it may be gone already."""
        if not self.path.is_dir():
            return
        for path in sorted(self.path.iterdir(), key=lambda path: path == self.record):
            path.unlink(missing_ok=True)
        self.path.rmdir()
        atomic.sync_directory(self.path.parent)


class VaultStore:
    """All entries."""

    __slots__ = ("_entries", "_open", "path", "reserve")

    def __init__(self, path: Path) -> None:
        """*path* is made with the first entry."""
        self.path = path
        self._entries, self._open = path / "entries", path / "open"
        self.reserve = Reserve(path / "reserve", RESERVE_SIZE)

    def prepare(self) -> None:
        """Make the directories, for us alone.  Raises OSError."""
        for path in (self.path, self._entries, self._open):
            atomic.make_directory(path)
        self.path.chmod(0o700)
        self.reserve.fill()

    def acquire_new(self, id_: str) -> EntryLock | None:
        """Claim a new entry, durable; None if there is one of that id by now.  Raises OSError.

        A recovery may see the mark between its making and its locking, and hold it for an instant.
        """
        self.prepare()
        claim = EntryLock.acquire(self._open / id_, timeout=None)
        assert claim is not None
        if self.has_entry(id_):
            with claim:
                if not claim.is_pending:  # else it was interrupted, and is to be recovered
                    claim.clear()
            return None
        try:
            claim.mark_pending()
            atomic.sync_directory(self._open)
        except OSError:
            with claim, suppress(OSError):
                claim.clear()
            raise
        return claim

    def acquire(self, id_: str) -> EntryLock | None:
        """Claim an entry that is there; None if another process works on it.  Raises OSError."""
        return EntryLock.acquire(self._open / id_)

    def acquire_unfinished(self, id_: str) -> EntryLock | None:
        """Claim what is half done.  Raises FileNotFoundError if nothing is by now."""
        return EntryLock.acquire(self._open / id_, create=False)

    def entry(self, id_: str) -> VaultEntry:
        """Give the entry, which need not be there."""
        return VaultEntry(self._entries / id_)

    def has_entry(self, id_: str) -> bool:
        """Tell if that is an id at all, and one of an entry here."""
        return is_id(id_) and self.entry(id_).path.is_dir()

    def ids(self) -> Iterator[str]:
        """Give the ids of all entries, in no order."""
        yield from _names(self._entries)

    def unfinished_ids(self) -> list[str]:
        """Give the ids of what is half done, at this moment or since a crash."""
        return [name for name in _names(self._open) if is_id(name)]

    def is_unfinished(self, id_: str) -> bool:
        """Tell if something with this entry is half done."""
        return is_id(id_) and (self._open / id_).exists()


def new_id() -> str:
    """Give an id that no entry has: 64 random bits."""
    return secrets.token_hex(8)


def is_id(text: str) -> bool:
    """Tell if *text* could be the id of an entry, and so part of a path."""
    return _ID.fullmatch(text) is not None


def _names(directory: Path) -> list[str]:
    try:
        return [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []

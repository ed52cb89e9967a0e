"""The vault's directories and files: reading, writing and verifying its entries.

::

    VAULT/                      0700
    ├── entries/ID/             one for each file
    │   ├── record.json         its record; the receipt once the content is gone
    │   └── content.age         the sealed content
    ├── open/ID                 exists while an action on the entry is unfinished
    └── reserve                 reserved space, so that entries can be destroyed on a full disk

A process that works on an entry holds a lock (flock(2)) on ``open/ID``.  The lock ends with its
process, the file does not: an unlocked file marks an interrupted action.  So recovery after a
crash costs only what was interrupted, however many entries there are.  ``verify`` checks every
record and every sealed byte, without a key.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.platform import atomic
from hashwacht.platform.atomic import Reserve
from hashwacht.platform.locks import EntryLock
from hashwacht.quarantine.age import FileGrew, sha256_of
from hashwacht.quarantine.record import EntryRecord, EntryState, SealedContent

MAX_RECORD_SIZE = 32 * 1024 * 1024
"""Bytes; extended attributes in Base64 and the evidence together are smaller."""

RESERVE_SIZE = 64 * 1024
"""Bytes; enough for the two records of one destruction unless the attributes are huge."""

_ID = re.compile(r"[0-9a-f]{16}")


class VaultEntry:
    """One directory in ``entries``, which need not exist."""

    __slots__ = ("content", "id", "path", "record")

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name
        self.record, self.content = path / "record.json", path / "content.age"

    def create(self, record: EntryRecord) -> None:
        """Make the directory and write its first record, both durably.  Raises OSError."""
        self.path.mkdir(mode=0o700)
        atomic.write(self.record, record.to_json())
        atomic.sync_directory(self.path.parent)

    def write(self, record: EntryRecord) -> None:
        """Replace the record durably.  Raises OSError; then the old record is unchanged."""
        atomic.write(self.record, record.to_json())

    def read(self) -> EntryRecord:
        """Read the record.  Raises OSError, or ValueError if it is damaged."""
        with self.record.open("rb") as file:
            return EntryRecord.from_json(file.read(MAX_RECORD_SIZE))

    def remove_temporary(self) -> None:
        """Remove the temporary file of an interrupted write.  Raises OSError."""
        atomic.remove_temporary(self.record)

    def create_content(self) -> int:
        """Create the empty file for the sealed content, return its descriptor.  Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.content, flags, 0o600)

    def remove_content(self) -> None:
        """Remove the sealed content if it exists, for good.  Raises OSError."""
        atomic.remove(self.content)

    def remove(self) -> None:
        """Remove the whole entry if it exists, the record last.  Raises OSError."""
        if not self.path.is_dir():
            return
        for path in sorted(self.path.iterdir(), key=lambda path: path == self.record):
            path.unlink(missing_ok=True)
        self.path.rmdir()
        atomic.sync_directory(self.path.parent)


class VaultStore:
    """All entries of the vault at *path*, which is created with the first entry."""

    __slots__ = ("_entries", "_open", "path", "reserve")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries, self._open = path / "entries", path / "open"
        self.reserve = Reserve(path / "reserve", RESERVE_SIZE)

    def prepare(self) -> None:
        """Create the directories, mode 0700.  Raises OSError."""
        for path in (self.path, self._entries, self._open):
            atomic.make_directory(path)
        self.path.chmod(0o700)
        self.reserve.fill()

    def acquire_new(self, id_: str) -> EntryLock | None:
        """Lock a new entry durably; None if the id exists by now.  Raises OSError.

        A recovery may see the file between its creation and its locking, and lock it for an
        instant; hence the wait.
        """
        self.prepare()
        lock = EntryLock.acquire(self._open / id_, timeout=None)
        assert lock is not None
        if self.has_entry(id_):
            with lock:
                if not lock.is_pending:  # else it was interrupted, and recovery needs the mark
                    lock.clear()
            return None
        try:
            lock.mark_pending()
            atomic.sync_directory(self._open)
        except OSError:
            with lock, suppress(OSError):
                lock.clear()
            raise
        return lock

    def acquire(self, id_: str) -> EntryLock | None:
        """Lock an existing entry; None if another process works on it.  Raises OSError."""
        return EntryLock.acquire(self._open / id_)

    def acquire_unfinished(self, id_: str) -> EntryLock | None:
        """Lock an unfinished entry.  Raises FileNotFoundError if it is finished by now."""
        return EntryLock.acquire(self._open / id_, create=False)

    def entry(self, id_: str) -> VaultEntry:
        """Return the entry of that id, which need not exist."""
        return VaultEntry(self._entries / id_)

    def has_entry(self, id_: str) -> bool:
        """Return True if *id_* is a well-formed id of an existing entry."""
        return is_id(id_) and self.entry(id_).path.is_dir()

    def ids(self) -> Iterator[str]:
        """Yield the names of all entries, in no order."""
        yield from _names(self._entries)

    def unfinished_ids(self) -> list[str]:
        """Return the ids of entries with a running or interrupted action."""
        return [name for name in _names(self._open) if is_id(name)]

    def is_unfinished(self, id_: str) -> bool:
        """Return True if an action on this entry is running or was interrupted."""
        return is_id(id_) and (self._open / id_).exists()


def new_id() -> str:
    """Return a random id: 64 bits in hex."""
    return secrets.token_hex(8)


def is_id(text: str) -> bool:
    """Return True if *text* has the form of an id, and so may become part of a path."""
    return _ID.fullmatch(text) is not None


def _names(directory: Path) -> list[str]:
    try:
        return [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return []


class VaultFault(StrEnum):
    """What is wrong with the vault or with an entry."""

    EXPOSED = "exposed"
    """Other users may enter the vault, or it belongs to another user."""
    NO_RECORD = "no-record"
    DAMAGED_RECORD = "damaged-record"
    NO_CONTENT = "no-content"
    WRONG_CHECKSUM = "wrong-checksum"
    """The sealed content is not what was written."""
    LEFT_OVER = "left-over"
    """There is sealed content although the entry was restored or destroyed."""
    STRAY = "stray"
    """An unexpected file or directory."""
    UNFINISHED = "unfinished"
    """An interrupted action; the daemon, or the next command that acts on a file, recovers it."""
    UNREADABLE = "unreadable"
    NOT_AS_RECORDED = "not-as-recorded"
    """The audit log records another state or record, or no act."""


@dataclass(frozen=True, slots=True)
class VaultFinding:
    """The result for one entry, or for the vault itself (*id* empty); no *fault*: it is intact."""

    id: str
    state: EntryState | None
    fault: VaultFault | None = None
    detail: str = ""


def verify(store: VaultStore) -> Iterator[VaultFinding]:
    """Yield a finding for the vault if it is exposed, then one for every entry.

    Entries that another process is working on are skipped.
    """
    if exposed := _check_exposure(store):
        yield exposed
    for id_ in sorted(store.ids()):
        if not is_id(id_):
            yield VaultFinding("", None, VaultFault.STRAY, f"entries/{id_}")
        elif (finding := _verify_entry(store, store.entry(id_))) is not None:
            yield finding


def _check_exposure(store: VaultStore) -> VaultFinding | None:
    try:
        status = store.path.stat()
    except FileNotFoundError:  # no file was ever sealed
        return None
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 or status.st_uid != os.geteuid():
        return VaultFinding("", None, VaultFault.EXPOSED, f"mode {mode:04o}, owner {status.st_uid}")
    return None


class _FaultFound(Exception):
    def __init__(self, fault: VaultFault, detail: str = "") -> None:
        super().__init__(fault, detail)
        self.fault, self.detail = fault, detail


def _verify_entry(store: VaultStore, entry: VaultEntry) -> VaultFinding | None:
    """Check one entry; None if it was removed meanwhile, or another process works on it."""
    with suppress(FileNotFoundError):
        lock = store.acquire_unfinished(entry.id)
        if lock is None:
            return None
        with lock:
            return VaultFinding(entry.id, None, VaultFault.UNFINISHED)
    state = None
    try:
        record = _read(entry)
        state = record.state
        _check(entry, record)
    except _FaultFound as found:
        if not entry.path.is_dir():
            return None
        return VaultFinding(entry.id, state, found.fault, found.detail)
    except OSError as error:
        return VaultFinding(entry.id, state, VaultFault.UNREADABLE, str(error))
    return VaultFinding(entry.id, state)


def _read(entry: VaultEntry) -> EntryRecord:
    try:
        record = entry.read()
    except FileNotFoundError as error:
        raise _FaultFound(VaultFault.NO_RECORD) from error
    except ValueError as error:
        raise _FaultFound(VaultFault.DAMAGED_RECORD, str(error)) from error
    if record.id != entry.id:
        raise _FaultFound(VaultFault.DAMAGED_RECORD, f"it is the record of {record.id}")
    return record


def _check(entry: VaultEntry, record: EntryRecord) -> None:
    if strays := {*entry.path.iterdir()} - {entry.record, entry.content}:
        raise _FaultFound(VaultFault.STRAY, ascii(min(strays).name))
    if record.state in (EntryState.RESTORED, EntryState.DESTROYED):
        if entry.content.exists():
            raise _FaultFound(VaultFault.LEFT_OVER)
    elif record.state is EntryState.SEALED and record.sealing is not None:
        _check_content(entry, record.sealing)
    else:
        raise _FaultFound(VaultFault.UNFINISHED, record.state)


def _check_content(entry: VaultEntry, sealing: SealedContent) -> None:
    try:
        fd = os.open(entry.content, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _FaultFound(VaultFault.NO_CONTENT) from error
    try:
        if sha256_of(fd, sealing.size) != sealing.sha256:
            raise _FaultFound(VaultFault.WRONG_CHECKSUM)
    except FileGrew as error:
        raise _FaultFound(VaultFault.WRONG_CHECKSUM, "it has grown") from error
    finally:
        os.close(fd)

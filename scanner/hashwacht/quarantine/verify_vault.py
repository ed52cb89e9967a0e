"""Verifying the vault: every record and every sealed byte.  Needs no key."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from hashwacht.quarantine.age import FileGrew, sha256_of
from hashwacht.quarantine.record import EntryRecord, EntryState, SealedContent
from hashwacht.quarantine.vault_store import VaultEntry, VaultStore, is_id

_KNOWN = frozenset({"record.json", "content.age"})


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
    if (exposed := _check_exposure(store)) is not None:
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
    strays = {path.name for path in entry.path.iterdir()} - _KNOWN
    if strays:
        raise _FaultFound(VaultFault.STRAY, ascii(min(strays)))
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

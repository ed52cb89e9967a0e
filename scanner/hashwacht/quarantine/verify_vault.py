"""Looking if everything in the vault is as it was left.  Needs no key; reads every sealed byte."""

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
    """Others may enter the vault, or it is not ours."""
    NO_RECORD = "no-record"
    DAMAGED_RECORD = "damaged-record"
    NO_CONTENT = "no-content"
    WRONG_CHECKSUM = "wrong-checksum"
    """The sealed content is not the one that was written."""
    LEFT_OVER = "left-over"
    """Content of an entry that was restored or destroyed."""
    STRAY = "stray"
    """A file or directory that does not belong there."""
    UNFINISHED = "unfinished"
    """Interrupted; the daemon, or the next command that acts on a file, settles it."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class VaultFinding:
    """What was found at one entry (*id* empty: at the vault itself); *fault* None: all is well."""

    id: str
    state: EntryState | None
    fault: VaultFault | None = None
    detail: str = ""


def verify(shelf: VaultStore) -> Iterator[VaultFinding]:
    """Look at the vault and then at every entry, one finding for each.

    Entries that another process works on at this moment are passed over.
    """
    if (exposed := _exposed(shelf)) is not None:
        yield exposed
    for id_ in sorted(shelf.ids()):
        if is_id(id_):
            if (finding := _verify(shelf, shelf.entry(id_))) is not None:
                yield finding
        else:
            yield VaultFinding("", None, VaultFault.STRAY, f"entries/{id_}")


def _exposed(shelf: VaultStore) -> VaultFinding | None:
    try:
        found = shelf.path.stat()
    except FileNotFoundError:  # nothing was ever sealed
        return None
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077 or found.st_uid != os.geteuid():
        return VaultFinding("", None, VaultFault.EXPOSED, f"mode {mode:04o}, owner {found.st_uid}")
    return None


class _Wrong(Exception):
    """What is wrong with an entry."""

    def __init__(self, fault: VaultFault, detail: str = "") -> None:
        super().__init__(fault, detail)
        self.fault, self.detail = fault, detail


def _verify(shelf: VaultStore, entry: VaultEntry) -> VaultFinding | None:
    """Judge one entry; None if it is none by now, or another process works on it."""
    with suppress(FileNotFoundError):
        claim = shelf.acquire_unfinished(entry.id)
        if claim is None:
            return None
        with claim:
            return VaultFinding(entry.id, None, VaultFault.UNFINISHED)
    state = None
    try:
        record = _read(entry)
        state = record.state
        _judge(entry, record)
    except _Wrong as wrong:
        return (
            VaultFinding(entry.id, state, wrong.fault, wrong.detail)
            if entry.path.is_dir()
            else None
        )
    except OSError as error:
        return VaultFinding(entry.id, state, VaultFault.UNREADABLE, str(error))
    return VaultFinding(entry.id, state)


def _read(entry: VaultEntry) -> EntryRecord:
    try:
        record = entry.read()
    except FileNotFoundError as error:
        raise _Wrong(VaultFault.NO_RECORD) from error
    except ValueError as error:
        raise _Wrong(VaultFault.DAMAGED_RECORD, str(error)) from error
    if record.id != entry.id:
        raise _Wrong(VaultFault.DAMAGED_RECORD, f"it is the record of {record.id}")
    return record


def _judge(entry: VaultEntry, record: EntryRecord) -> None:
    strays = {path.name for path in entry.path.iterdir()} - _KNOWN
    if strays:
        raise _Wrong(VaultFault.STRAY, ascii(min(strays)))
    if record.state in (EntryState.RESTORED, EntryState.DESTROYED):
        if entry.content.exists():
            raise _Wrong(VaultFault.LEFT_OVER)
    elif record.state is EntryState.SEALED and record.sealing is not None:
        _check_content(entry, record.sealing)
    else:
        raise _Wrong(VaultFault.UNFINISHED, record.state)


def _check_content(entry: VaultEntry, sealing: SealedContent) -> None:
    try:
        fd = os.open(entry.content, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _Wrong(VaultFault.NO_CONTENT) from error
    try:
        if sha256_of(fd, sealing.size) != sealing.sha256:
            raise _Wrong(VaultFault.WRONG_CHECKSUM)
    except FileGrew as error:
        raise _Wrong(VaultFault.WRONG_CHECKSUM, "longer than it was") from error
    finally:
        os.close(fd)

"""Recovery after a crash: every unfinished entry is undone or completed.

=============  ===========================================================================
state          what recovery does
=============  ===========================================================================
taking         moves the file back to its path, with its mode, and removes the entry
sealed         removes the original, wherever the crash left it
restoring      completes it if the new file has got its name; else the content stays sealed
destroying     completes it: that decision was made
=============  ===========================================================================

An interrupted sealing is undone, not completed: an administrator who killed the daemon because a
hash list had gone wrong would not want it completed.  The file is scanned and judged again like
any other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

from hashwacht.core import paths
from hashwacht.platform.atomic import sync_directory_fd
from hashwacht.platform.locks import EntryLock
from hashwacht.platform.safe_open import FileChanged, OpenDirectory, chmod, find_directory
from hashwacht.quarantine.age import FileGrew, sha256_of
from hashwacht.quarantine.record import EntryRecord, EntryState
from hashwacht.quarantine.staging import STAGING_PREFIX, StagingDirectory, file_id
from hashwacht.quarantine.vault_store import VaultEntry, VaultStore


class RecoveryOutcome(StrEnum):
    """What became of an unfinished entry; beside the first and last, the state of its record."""

    PUT_BACK = "back"
    """The file is at its path (or never left it) and there is no entry."""
    SEALED = "sealed"
    """The content is sealed, and the original is removed."""
    RESTORED = "restored"
    DESTROYED = "destroyed"
    STUCK = "stuck"
    """Recovery is impossible for now; nothing is lost, and the next recovery tries again."""


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """One entry; *record* is None if its record was never written or is damaged."""

    id: str
    outcome: RecoveryOutcome
    record: EntryRecord | None = None
    detail: str = ""


def recover(store: VaultStore, skip: Container[str] = ()) -> list[RecoveryResult]:
    """Recover every unfinished entry that no process holds, except those in *skip*.

    May be repeated at any time.
    """
    results = []
    for id_ in store.unfinished_ids():
        if id_ in skip:
            continue
        try:
            lock = store.acquire_unfinished(id_)
        except FileNotFoundError:  # its process has just finished it
            continue
        except OSError as error:
            results.append(RecoveryResult(id_, RecoveryOutcome.STUCK, None, str(error)))
            continue
        if lock is not None:
            with lock:
                result = _recover(store.entry(id_), lock)
            if result.record is not None or result.outcome is RecoveryOutcome.STUCK:
                results.append(result)  # else nothing had begun yet
    return results


def _recover(entry: VaultEntry, lock: EntryLock) -> RecoveryResult:
    try:
        result = recover_entry(entry, lock)
        if result.outcome is not RecoveryOutcome.STUCK:
            lock.clear()
    except (OSError, FileChanged) as error:
        record = None
        with suppress(OSError, ValueError):
            record = entry.read()
        return RecoveryResult(entry.id, RecoveryOutcome.STUCK, record, str(error))
    return result


def recover_entry(entry: VaultEntry, lock: EntryLock) -> RecoveryResult:
    """Recover one entry, whose *lock* is held.  Raises OSError, FileChanged."""
    entry.remove_temporary()
    try:
        record = entry.read()
    except FileNotFoundError:  # killed before the intent was written, or after its removal
        entry.remove()
        return RecoveryResult(entry.id, RecoveryOutcome.PUT_BACK)
    except ValueError as error:
        return RecoveryResult(entry.id, RecoveryOutcome.STUCK, None, f"damaged record: {error}")
    result = _undo_or_complete(entry, record)
    is_settled = result.outcome not in (RecoveryOutcome.STUCK, RecoveryOutcome.PUT_BACK)
    if is_settled and lock.is_pending and not _remove_original(entry, record):
        return _directory_missing(entry, record)
    return result


def _undo_or_complete(entry: VaultEntry, record: EntryRecord) -> RecoveryResult:
    match record.state:
        case EntryState.SEALING:
            return _undo_sealing(entry, record)
        case EntryState.RESTORING:
            record = _finish_restore(entry, record)
        case EntryState.DESTROYING:
            record = complete_destruction(entry, record)
        case EntryState.RESTORED | EntryState.DESTROYED:
            entry.remove_content()  # left although the record says so
    return RecoveryResult(entry.id, RecoveryOutcome(record.state), record)


def _undo_sealing(entry: VaultEntry, record: EntryRecord) -> RecoveryResult:
    parent = find_directory(record.directory, record.parent.id)
    if parent is None:
        return _directory_missing(entry, record)
    detail = ""
    with parent:
        staging = StagingDirectory.find(parent, entry.id, record.origin.id)
        if staging is not None:
            with staging.here:
                detail = _put_back(staging, record)
    entry.remove()
    return RecoveryResult(entry.id, RecoveryOutcome.PUT_BACK, record, detail)


def _directory_missing(entry: VaultEntry, record: EntryRecord) -> RecoveryResult:
    directory = paths.escape_path(record.directory)
    staging = STAGING_PREFIX.decode() + entry.id
    detail = f"the directory {directory} was moved or removed and may contain {staging}"
    return RecoveryResult(entry.id, RecoveryOutcome.STUCK, record, f"{detail} with the file")


def _put_back(staging: StagingDirectory, record: EntryRecord) -> str:
    """Move the file in the staging directory back; return a note if its name was taken."""
    name = record.name
    if (file := staging.file_id()) is not None:
        if file == record.origin.id:
            _set_mode(staging, record.original_mode)
        name = staging.move_back(name)
    staging.sync()
    staging.remove()
    if name == record.name:
        return ""
    return f"put back as {paths.escape_path(name)}, because its name was taken"


def _remove_original(entry: VaultEntry, record: EntryRecord) -> bool:
    """Remove the original from the staging directory, or from its path if the move was lost.

    Returns False if its directory is not found.
    """
    parent = find_directory(record.directory, record.parent.id)
    if parent is None:
        return False
    with parent:
        staging = StagingDirectory.find(parent, entry.id, record.origin.id)
        if staging is not None:
            with staging.here:
                _remove_staged(staging, record)
        elif file_id(parent, record.name) == record.origin.id:
            _remove_at_path(parent, record.name, record)
    return True


def _remove_staged(staging: StagingDirectory, record: EntryRecord) -> None:
    if staging.file_id() == record.origin.id:
        if record.other_names:
            _set_mode(staging, record.original_mode)
        staging.remove_file()
    staging.sync()
    staging.remove()


def _remove_at_path(parent: OpenDirectory, name: bytes, record: EntryRecord) -> None:
    """Remove a file that a power failure has moved back, if it still has the sealed content."""
    fd = parent.file(name, record.origin.id)
    try:
        if sha256_of(fd, record.attributes.size) != record.key:
            return
    except FileGrew:
        return
    finally:
        os.close(fd)
    staging = StagingDirectory.create(parent, record.id)
    with staging.here:
        staging.move_in(name)
        if staging.file_id() == record.origin.id:
            _remove_staged(staging, record)
        else:
            staging.move_back(name)
            staging.remove()


def _finish_restore(entry: VaultEntry, record: EntryRecord) -> EntryRecord:
    """Complete a restore if the new file has its name; else remove it and keep the sealed one."""
    ending = record.ending
    assert ending is not None
    directory, _, name = ending.path.rpartition(b"/")
    new_file = (ending.dev, ending.ino)
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        OpenDirectory.at(directory or b"/", listable=False) as parent,
    ):
        if (staging := StagingDirectory.find(parent, entry.id, new_file)) is not None:
            with staging.here:
                staging.remove_file()
                staging.remove()
        if file_id(parent, name) == new_file:
            sync_directory_fd(parent.fd)  # the name must be durable before the content goes
            return complete_restore(entry, record)
    record = replace(record, state=EntryState.SEALED, ending=None)
    entry.write(record)
    return record


def complete_restore(entry: VaultEntry, record: EntryRecord) -> EntryRecord:
    """Record that the file is restored, then remove the sealed content.  Raises OSError."""
    record = replace(record, state=EntryState.RESTORED)
    entry.write(record)
    entry.remove_content()
    return record


def complete_destruction(entry: VaultEntry, record: EntryRecord) -> EntryRecord:
    """Remove the sealed content, then record that it is destroyed.  Raises OSError."""
    record = replace(record, state=EntryState.DESTROYED)
    entry.remove_content()
    entry.write(record)
    return record


def _set_mode(staging: StagingDirectory, mode: int) -> None:
    """Change the mode of the staged file, which may have no permissions.  Raises OSError."""
    fd = os.open(staging.inside, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=staging.here.fd)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
            chmod(fd, mode)
    finally:
        os.close(fd)

"""After a crash: everything half done is undone or completed, so that nothing is in two states.

=============  ======================================================================
state          what is done
=============  ======================================================================
taking         the file goes back to its place, with its mode; the entry is removed
sealed         the original, wherever the crash left it, is removed
restoring      completed if the new file has got its name; else still sealed as before
destroying     completed: somebody has decided it
=============  ======================================================================

An interrupted taking is not completed: whoever killed the daemon because a list had gone wrong
would not want it.  Its file is read and judged again like any other.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from hashwacht.core import paths
from hashwacht.platform.atomic import sync_directory_fd
from hashwacht.platform.locks import EntryLock
from hashwacht.platform.safe_open import FileChanged, OpenDirectory
from hashwacht.quarantine.age import FileGrew, sha256_of
from hashwacht.quarantine.find import find_directory
from hashwacht.quarantine.record import EntryRecord, EntryState
from hashwacht.quarantine.staging import StagingDirectory, file_id
from hashwacht.quarantine.vault_store import VaultEntry, VaultStore


class RecoveryOutcome(StrEnum):
    """What became of something half done."""

    PUT_BACK = "back"
    """The file is at its place (or never left it) and there is no entry."""
    SEALED = "sealed"
    """The content is sealed, and nothing else is left of it."""
    RESTORED = "restored"
    DESTROYED = "destroyed"
    STUCK = "stuck"
    """It could not be settled now; nothing is lost, and the next recovery tries again."""


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """One entry; *record* is None if its record had not been written or is damaged."""

    id: str
    outcome: RecoveryOutcome
    record: EntryRecord | None = None
    detail: str = ""


def recover(shelf: VaultStore, but: Container[str] = ()) -> list[RecoveryResult]:
    """Settle everything that no living process works on, *but* these.  Any number of times."""
    found = []
    for id_ in shelf.unfinished_ids():
        if id_ in but:
            continue
        try:
            claim = shelf.acquire_unfinished(id_)
        except FileNotFoundError:  # its process has just ended with it
            continue
        except OSError as error:
            found.append(RecoveryResult(id_, RecoveryOutcome.STUCK, None, str(error)))
            continue
        if claim is not None:
            with claim:
                recovered = _recover(shelf.entry(id_), claim)
            if recovered.record is not None or recovered.outcome is RecoveryOutcome.STUCK:
                found.append(recovered)  # else nothing had begun yet
    return found


def _recover(entry: VaultEntry, claim: EntryLock) -> RecoveryResult:
    try:
        recovered = recover_entry(entry, claim)
        if recovered.outcome is not RecoveryOutcome.STUCK:
            claim.clear()
    except (OSError, FileChanged) as error:
        return RecoveryResult(entry.id, RecoveryOutcome.STUCK, _read(entry), str(error))
    return recovered


def recover_entry(entry: VaultEntry, claim: EntryLock) -> RecoveryResult:
    """Settle one entry, whose *claim* is held.  Raises OSError, Changed."""
    entry.remove_temporary()
    try:
        record = entry.read()
    except FileNotFoundError:  # killed before the intent was written, or after all was removed
        entry.remove()
        return RecoveryResult(entry.id, RecoveryOutcome.PUT_BACK)
    except ValueError as error:
        return RecoveryResult(entry.id, RecoveryOutcome.STUCK, None, f"damaged record: {error}")
    recovered = _HOW[record.state](entry, record)
    settled = recovered.outcome not in (RecoveryOutcome.STUCK, RecoveryOutcome.PUT_BACK)
    if settled and claim.is_pending and not _remove_original(entry, record):
        return _lost_sight(entry, record)
    return recovered


def _read(entry: VaultEntry) -> EntryRecord | None:
    try:
        return entry.read()
    except (OSError, ValueError):
        return None


def _leave_sealed(entry: VaultEntry, record: EntryRecord) -> RecoveryResult:
    return RecoveryResult(entry.id, RecoveryOutcome.SEALED, record)


def _drop_content(entry: VaultEntry, record: EntryRecord) -> RecoveryResult:
    """Remove what may be left although the record says that it has ended."""
    entry.remove_content()
    outcome = (
        RecoveryOutcome.RESTORED
        if record.state is EntryState.RESTORED
        else RecoveryOutcome.DESTROYED
    )
    return RecoveryResult(entry.id, outcome, record)


def _undo_taking(entry: VaultEntry, record: EntryRecord) -> RecoveryResult:
    parent = find_directory(record.directory, record.parent.id)
    if parent is None:
        return _lost_sight(entry, record)
    detail = ""
    with parent:
        holding = StagingDirectory.find(parent, entry.id, record.origin.id)
        if holding is not None:
            with holding.here:
                detail = _give_back(holding, record)
    entry.remove()
    return RecoveryResult(entry.id, RecoveryOutcome.PUT_BACK, record, detail)


def _lost_sight(entry: VaultEntry, record: EntryRecord) -> RecoveryResult:
    return RecoveryResult(
        entry.id,
        RecoveryOutcome.STUCK,
        record,
        f"the directory {paths.escape_path(record.directory)} was moved away or removed, and a"
        f" directory"
        f" .hashwacht-{entry.id} with the file may be in it",
    )


def _give_back(holding: StagingDirectory, record: EntryRecord) -> str:
    """Move whatever is in the holding directory back; says so if that was under another name."""
    detail = ""
    taken = holding.file_id()
    if taken is not None:
        if taken == record.origin.id:
            _set_mode(holding, record.original_mode)
        if (got := holding.move_back(record.name)) != record.name:
            detail = f"put back as {paths.escape_path(got)}, because its name was taken"
    holding.sync()
    holding.remove()
    return detail


def _remove_original(entry: VaultEntry, record: EntryRecord) -> bool:
    """Remove it from the holding directory, or from its place if the disk forgot the move.

    False if it could not be looked for.
    """
    parent = find_directory(record.directory, record.parent.id)
    if parent is None:
        return False
    with parent:
        holding = StagingDirectory.find(parent, entry.id, record.origin.id)
        if holding is not None:
            with holding.here:
                _discard(holding, record)
        elif file_id(parent, record.name) == record.origin.id:
            _remove_at_place(parent, record.name, record)
    return True


def _discard(holding: StagingDirectory, record: EntryRecord) -> None:
    if holding.file_id() == record.origin.id:
        if record.other_names:
            _set_mode(holding, record.original_mode)
        holding.remove_file()
    holding.sync()
    holding.remove()


def _remove_at_place(parent: OpenDirectory, name: bytes, record: EntryRecord) -> None:
    """Take it again if it is still what was sealed: a power cut has undone the move."""
    fd = parent.file(name, record.origin.id)
    try:
        if sha256_of(fd, record.attributes.size) != record.key:
            return
    except FileGrew:
        return
    finally:
        os.close(fd)
    holding = StagingDirectory.create(parent, record.id)
    with holding.here:
        holding.move_in(name)
        if holding.file_id() == record.origin.id:
            _discard(holding, record)
        else:
            holding.move_back(name)
            holding.remove()


def _settle_restoring(entry: VaultEntry, record: EntryRecord) -> RecoveryResult:
    """Look if the new file has its name; if not, it goes and the sealed one stays."""
    ending = record.ending
    assert ending is not None
    directory, _, name = ending.path.rpartition(b"/")
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        OpenDirectory.at(directory or b"/", listable=False) as parent,
    ):
        new = (ending.dev, ending.ino)
        if (holding := StagingDirectory.find(parent, entry.id, new)) is not None:
            with holding.here:
                holding.remove_file()
                holding.remove()
        if file_id(parent, name) == new:
            sync_directory_fd(parent.fd)  # the name first, for the sealed content goes now
            return RecoveryResult(
                entry.id, RecoveryOutcome.RESTORED, complete_restore(entry, record)
            )
    record = replace(record, state=EntryState.SEALED, ending=None)
    entry.write(record)
    return RecoveryResult(entry.id, RecoveryOutcome.SEALED, record)


def complete_restore(entry: VaultEntry, record: EntryRecord) -> EntryRecord:
    """Say that it is restored, then let the sealed content go.  Raises OSError."""
    record = replace(record, state=EntryState.RESTORED)
    entry.write(record)
    entry.remove_content()
    return record


def _complete_destroying(entry: VaultEntry, record: EntryRecord) -> RecoveryResult:
    return RecoveryResult(entry.id, RecoveryOutcome.DESTROYED, complete_destroy(entry, record))


def complete_destroy(entry: VaultEntry, record: EntryRecord) -> EntryRecord:
    """Let the sealed content go, then say that it is destroyed.  Raises OSError."""
    record = replace(record, state=EntryState.DESTROYED)
    entry.remove_content()
    entry.write(record)
    return record


def _set_mode(holding: StagingDirectory, mode: int) -> None:
    """Change the mode of a file that nobody, perhaps not even we, may open.  Raises OSError."""
    fd = os.open(holding.inside, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=holding.here.fd)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
            os.chmod(f"/proc/self/fd/{fd}", mode)  # noqa: PTH101  # fchmod refuses O_PATH
    finally:
        os.close(fd)


_HOW: Mapping[EntryState, Callable[[VaultEntry, EntryRecord], RecoveryResult]] = MappingProxyType(
    {
        EntryState.TAKING: _undo_taking,
        EntryState.SEALED: _leave_sealed,
        EntryState.RESTORING: _settle_restoring,
        EntryState.RESTORED: _drop_content,
        EntryState.DESTROYING: _complete_destroying,
        EntryState.DESTROYED: _drop_content,
    }
)

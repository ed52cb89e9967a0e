"""Sealing a file into the vault: exactly the content that was judged, despite name swaps.

1. An intent is recorded durably.
2. The name is moved into a staging directory next to the file, replacing nothing.
3. The file moved must be the one whose descriptor was judged; otherwise it is moved back.
4. Its mode is set to 0, and its content is sealed into the vault and hashed on the way.  If the
   content is not the one that was judged, the file is moved back.
5. The record says "sealed", durably: from here on the sealed copy is the one that counts.
6. The original is removed.

After a kill at any instant, ``recovery`` undoes everything up to 4 and completes 6.
A program that still has the file open for writing cannot prevent the sealing, only change the
content in time; what it writes later goes to a file without a name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from hashwacht.core import paths
from hashwacht.core.errors import ConfigurationError
from hashwacht.platform.locks import EntryLock
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.platform.syscalls import WriterStatus, acquire_lease, is_immutable, release_lease
from hashwacht.quarantine import age
from hashwacht.quarantine.age import FileGrew, HashingReader, HashingWriter, sha256_of
from hashwacht.quarantine.attributes import FileAttributes
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.hold_methods import HoldRecord
from hashwacht.quarantine.record import (
    EntryRecord,
    EntryState,
    OriginalFile,
    ParentDirectory,
    SealedContent,
)
from hashwacht.quarantine.staging import StagingDirectory, file_id
from hashwacht.quarantine.vault_store import VaultEntry, VaultStore

_MARGIN = 1 << 20
"""Bytes that must be free in the vault in addition to the content."""


@dataclass(frozen=True, slots=True)
class SealRequest:
    """The file to seal: *fd* is open on what was judged, *path* is the name it had then.

    *hold* is in force on the file, whose attributes from before it are to be restored; *id* is
    that of a new entry.
    """

    id: str
    fd: int
    path: bytes
    key: str
    evidence: Mapping[str, object]
    hold: HoldRecord | None = None


class Sealer:
    """Seals files into one vault for *recipients*; *clock* returns Unix time."""

    def __init__(
        self, store: VaultStore, recipients: Sequence[str], clock: Callable[[], float]
    ) -> None:
        self._store, self.recipients, self.clock = store, tuple(recipients), clock

    def seal(self, request: SealRequest) -> EntryRecord | ActionFailure:
        """Seal the file, or leave everything as it was and return why."""
        if not self.recipients:
            return ActionFailure(FailureReason.NO_RECIPIENTS)
        directory, _, name = request.path.rpartition(b"/")
        try:
            with OpenDirectory.at(directory or b"/", listable=False) as parent:
                if failure := self._check(request, parent, name):
                    return failure
                return self._begin(request, parent, name)
        except OSError as error:
            return ActionFailure.from_error(error, "opening its directory")

    def _check(
        self, request: SealRequest, parent: OpenDirectory, name: bytes
    ) -> ActionFailure | None:
        """Return what prevents the sealing, before anything is written."""
        status = os.fstat(request.fd)
        current = file_id(parent, name)
        if current is None:
            return ActionFailure(FailureReason.GONE)
        if current != (status.st_dev, status.st_ino) or not stat.S_ISREG(status.st_mode):
            return ActionFailure(FailureReason.CHANGED, "another file has its name")
        if is_immutable(request.fd):
            return ActionFailure(FailureReason.IMMUTABLE)
        try:
            self._store.prepare()
            vault = os.statvfs(self._store.path)
        except OSError as error:
            return ActionFailure.from_internal_error(error, "opening the vault")
        if vault.f_bavail * vault.f_frsize < status.st_size + _MARGIN:
            return ActionFailure(FailureReason.FULL, "not enough space in the vault")
        return None

    def _begin(
        self, request: SealRequest, parent: OpenDirectory, name: bytes
    ) -> EntryRecord | ActionFailure:
        try:
            lock = self._store.acquire_new(request.id)
        except OSError as error:
            return ActionFailure.from_internal_error(error, "writing to the vault")
        if lock is None:
            detail = "another process has just sealed it under this id"
            return ActionFailure(FailureReason.BUSY, detail)
        entry = self._store.entry(request.id)
        with lock:
            try:
                record = _intent(request, parent, self.clock())
                entry.create(record)
            except OSError as error:
                _remove_entry(entry, lock)
                return ActionFailure.from_internal_error(error, "writing the record")
            return SealOperation(self, entry, lock, record, request.fd, name).run(parent)


def _intent(request: SealRequest, parent: OpenDirectory, now: float) -> EntryRecord:
    file, above, hold = os.fstat(request.fd), os.fstat(parent.fd), request.hold
    attributes = FileAttributes.from_fd(request.fd)
    return EntryRecord(
        id=request.id,
        state=EntryState.SEALING,
        path=request.path,
        key=request.key,
        at=now,
        origin=OriginalFile(file.st_dev, file.st_ino, file.st_nlink),
        parent=ParentDirectory(
            above.st_dev, above.st_ino, stat.S_IMODE(above.st_mode), above.st_uid, above.st_gid
        ),
        attributes=hold.attributes_before(attributes) if hold is not None else attributes,
        original_mode=attributes.mode,
        evidence=request.evidence,
    )


@dataclass(slots=True)
class SealOperation:
    """Steps 2 to 6 for the file *name*, open as *fd*; its intent is recorded and *lock* held."""

    sealer: Sealer
    entry: VaultEntry
    lock: EntryLock
    record: EntryRecord
    fd: int
    name: bytes
    mode_removed: bool = False

    def run(self, parent: OpenDirectory) -> EntryRecord | ActionFailure:
        """Seal the file and remove the original, or put everything back and return why."""
        try:
            staging = StagingDirectory.create(parent, self.entry.id)
        except OSError as error:
            _remove_entry(self.entry, self.lock)
            return ActionFailure.from_error(error, "creating the staging directory")
        with staging.here:
            try:
                staging.move_in(self.name)
            except OSError as error:
                return self._not_moved(staging, error)
            if staging.file_id() != self.record.origin.id:
                failure = ActionFailure(FailureReason.CHANGED, "another file got its name")
                return self._put_back(staging, failure)
            if failed := self._seal(staging):
                return self._put_back(staging, failed)
            self._remove_original(staging)
            return self.record

    def _seal(self, staging: StagingDirectory) -> ActionFailure | None:
        """Seal the staged file and record that; return a failure if it must go back."""
        try:
            self._remove_mode()
            staging.sync()
            sealing = self._copy(acquire_lease(self.fd))
            if sealing is None:
                return ActionFailure(FailureReason.CHANGED, "it was written to")
            sealed = replace(self.record, state=EntryState.SEALED, sealing=sealing)
            self.entry.write(sealed)
            self.record = sealed
        except OSError as error:
            return ActionFailure.from_internal_error(error, "sealing it")
        except ConfigurationError as error:
            return ActionFailure(FailureReason.NO_RECIPIENTS, error.message)
        finally:
            release_lease(self.fd)
        return None

    def _remove_mode(self) -> None:
        """Remove all permissions, unless they could not be given back.

        The staging directory protects this name already; the mode protects the file's other names
        (hard links).  A service with RestrictSUIDSGID= could not set set-user-id again.
        """
        if not self.record.original_mode & (stat.S_ISUID | stat.S_ISGID):
            with suppress(PermissionError):
                os.fchmod(self.fd, 0)
                self.mode_removed = True

    def _copy(self, writers: WriterStatus) -> SealedContent | None:
        """Write the sealed content; None if it is not what was judged.  Raises OSError."""
        before = os.fstat(self.fd)
        content = self.entry.create_content()
        try:
            reader, writer = HashingReader(self.fd, before.st_size), HashingWriter(content)
            age.seal(reader, writer, self.sealer.recipients)
            writer.finish()
            if reader.sha256() != self.record.key or not self._is_unchanged(before):
                return None
        except FileGrew:
            return None
        finally:
            os.close(content)
        sealer, digest = self.sealer, writer.sha256()
        return SealedContent(sealer.clock(), digest, writer.size, sealer.recipients, writers)

    def _is_unchanged(self, before: os.stat_result) -> bool:
        """Return True if the content is still what was read, also in the parts read first.

        If only the times have changed, the content is hashed again: a program that keeps touching
        the file must not prevent the sealing.
        """
        after = os.fstat(self.fd)
        if (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
            return True
        return sha256_of(self.fd, before.st_size) == self.record.key

    def _not_moved(self, staging: StagingDirectory, error: OSError) -> ActionFailure:
        with suppress(OSError):  # an empty directory that stays is harmless
            staging.remove()
        _remove_entry(self.entry, self.lock)
        if isinstance(error, PermissionError) and is_immutable(self.fd):
            return ActionFailure(FailureReason.IMMUTABLE)
        return ActionFailure.from_error(error, "moving it to the staging directory")

    def _put_back(self, staging: StagingDirectory, failure: ActionFailure) -> ActionFailure:
        """Move the staged file back, or report it as stranded."""
        try:
            if self.mode_removed:
                os.fchmod(self.fd, self.record.original_mode)
            name = staging.move_back(self.name)
            staging.sync()
            staging.remove()
        except OSError as error:
            path = paths.escape_path(staging.name + b"/" + staging.inside)
            detail = f"{failure.detail}; it is in {path}: {error}"
            return ActionFailure(FailureReason.STRANDED, detail)
        _remove_entry(self.entry, self.lock)
        if name != self.name:
            detail = f"{failure.detail}; put back as {paths.escape_path(name)}"
            return replace(failure, detail=detail)
        return failure

    def _remove_original(self, staging: StagingDirectory) -> None:
        """Remove the original of the sealed content; if that fails, the next recovery does it.

        The mode of its other names is what it was: 0 if they are held, as they should be.
        """
        mode = self.record.original_mode
        with suppress(OSError):
            if self.record.other_names and stat.S_IMODE(os.fstat(self.fd).st_mode) != mode:
                os.fchmod(self.fd, mode)
            staging.remove_file()
            staging.sync()
            staging.remove()
            self.lock.clear()


def _remove_entry(entry: VaultEntry, lock: EntryLock) -> None:
    """Remove an entry without content; the next recovery removes what cannot be removed now."""
    with suppress(OSError):
        entry.remove()
        lock.clear()

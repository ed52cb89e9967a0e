"""Taking a file away from where attackers may swap names, and sealing exactly what was judged.

1. An intent is written down, durable.
2. The name is moved into a holding directory of ours beside it, replacing nothing.
3. What was moved must be the file whose descriptor was judged; else it is moved back.
4. Its mode is set to 0, and the content sealed into the vault, and hashed meanwhile.  A content
   other than the one that was judged is moved back.
5. The record says "sealed", durable: from here on the sealed copy is the one that counts.
6. The original is removed.

Killed at any instant, ``recovery`` undoes everything up to 4 and completes 6.
A program that still has the file open for writing cannot keep it from being sealed, only change
its content in time; what it writes later goes to a file without a name.

What quarantine gives back when it was done.

One file on its way into the vault: steps 2 to 6 of :mod:`hashwacht.quarantine.sealing`.
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
from hashwacht.quarantine.record import (
    EntryRecord,
    EntryState,
    OriginalFile,
    ParentDirectory,
    SealedContent,
)
from hashwacht.quarantine.results import FailureReason, QuarantineFailure
from hashwacht.quarantine.staging import StagingDirectory, file_id
from hashwacht.quarantine.vault_store import VaultEntry, VaultStore


@dataclass(frozen=True, slots=True)
class SealResult:
    """A file is sealed in the vault, under the id of its *record*, and gone from its place.

    *finished* is False if the original could not be removed from the holding directory, where
    nobody can reach it; the next recovery does that.
    """

    record: EntryRecord
    finished: bool = True

    @property
    def id(self) -> str:
        """The entry in the vault."""
        return self.record.id

    @property
    def other_names(self) -> int:
        """How many other names (hard links) go on serving the content; find them by inode."""
        return self.record.other_names

    @property
    def writers(self) -> WriterStatus:
        """Whether somebody had it open for writing.  What he writes later is nobody's file."""
        return self.record.sealing.writers if self.record.sealing else WriterStatus.UNKNOWN


class SealOperation:
    """The file *name*, open as *fd*; its intent is written and *claim* held."""

    def __init__(
        self, entry: VaultEntry, claim: EntryLock, record: EntryRecord, fd: int, name: bytes
    ) -> None:
        """Take over what was prepared."""
        self._entry, self._claim, self._record = entry, claim, record
        self._fd, self._name, self._locked = fd, name, False

    def run(
        self, parent: OpenDirectory, recipients: Sequence[str], clock: Callable[[], float]
    ) -> SealResult | QuarantineFailure:
        """Do it, or put everything back and say why."""
        try:
            holding = StagingDirectory.create(parent, self._entry.id)
        except OSError as error:
            remove_entry(self._entry, self._claim)
            return QuarantineFailure.from_error(error, "making a directory beside it")
        try:
            holding.move_in(self._name)
        except OSError as error:
            return self._not_taken(holding, error)
        try:
            if holding.file_id() != self._record.origin.id:
                return self._back(
                    holding, QuarantineFailure(FailureReason.CHANGED, "another file got its name")
                )
            if refusal := self._seal(holding, recipients, clock):
                return self._back(holding, refusal)
            return SealResult(
                self._record, remove_original(holding, self._record, self._fd, self._claim)
            )
        finally:
            holding.close()

    def _seal(
        self, holding: StagingDirectory, recipients: Sequence[str], clock: Callable[[], float]
    ) -> QuarantineFailure | None:
        """Seal what was taken, and say so in the record; a refusal if it must go back."""
        try:
            self._lock()
            holding.sync()
            writers = acquire_lease(self._fd)
            sealing = self._copy(recipients, writers, clock)
            if sealing is None:
                return QuarantineFailure(FailureReason.CHANGED, "it was written to")
            sealed = replace(self._record, state=EntryState.SEALED, sealing=sealing)
            self._entry.write(sealed)
            self._record = sealed
        except OSError as error:
            return QuarantineFailure.from_internal_error(error, "sealing it")
        except ConfigurationError as error:
            return QuarantineFailure(FailureReason.NO_RECIPIENTS, error.message)
        finally:
            release_lease(self._fd)
        return None

    def _lock(self) -> None:
        """Take all permissions away, if they can be given back.

        In the directory nobody reaches it with any; this is for its other names.  A service with
        RestrictSUIDSGID= could not give set-user-id back.
        """
        if not self._record.original_mode & (stat.S_ISUID | stat.S_ISGID):
            with suppress(PermissionError):
                os.fchmod(self._fd, 0)
                self._locked = True

    def _copy(
        self, recipients: Sequence[str], writers: WriterStatus, clock: Callable[[], float]
    ) -> SealedContent | None:
        """Write the sealed content; None if it is not what was judged.  Raises OSError."""
        before = os.fstat(self._fd)
        content = self._entry.create_content()
        try:
            reading, writing = HashingReader(self._fd, before.st_size), HashingWriter(content)
            age.seal(reading, writing, recipients)
            writing.finish()
            if reading.sha256() != self._record.key or not self._still(before):
                return None
        except FileGrew:
            return None
        finally:
            os.close(content)
        return SealedContent(clock(), writing.sha256(), writing.size, tuple(recipients), writers)

    def _still(self, before: os.stat_result) -> bool:
        """Tell if the content is what was read, also in those parts that were read first.

        Who only touches the times must not get away: then it is read once more.
        """
        after = os.fstat(self._fd)
        if (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
            return True
        return sha256_of(self._fd, before.st_size) == self._record.key

    def _not_taken(self, holding: StagingDirectory, error: OSError) -> QuarantineFailure:
        """Clean up: the file has not moved."""
        with holding.here, suppress(OSError):  # an empty directory may stay: it harms nobody
            holding.remove()
        remove_entry(self._entry, self._claim)
        if isinstance(error, PermissionError) and is_immutable(self._fd):
            return QuarantineFailure(FailureReason.IMMUTABLE)
        return QuarantineFailure.from_error(error, "taking it")

    def _back(self, holding: StagingDirectory, refusal: QuarantineFailure) -> QuarantineFailure:
        """Put back what was taken; it is where it was when this returns, or said to be stranded."""
        try:
            if self._locked:
                os.fchmod(self._fd, self._record.original_mode)
            name = holding.move_back(self._name)
            holding.sync()
            holding.remove()
        except OSError as error:
            where = paths.escape_path(holding.name + b"/" + holding.inside)
            return QuarantineFailure(
                FailureReason.STRANDED, f"{refusal.detail}; it is in {where}: {error}"
            )
        remove_entry(self._entry, self._claim)
        if name != self._name:
            return replace(
                refusal, detail=f"{refusal.detail}; put back as {paths.escape_path(name)}"
            )
        return refusal


def remove_original(
    holding: StagingDirectory, record: EntryRecord, fd: int, claim: EntryLock
) -> bool:
    """Remove the original of what is sealed; False if that must be done by the next recovery.

    Its other names get their mode back: they are found, judged and taken one by one.
    """
    try:
        if record.other_names and stat.S_IMODE(os.fstat(fd).st_mode) != record.original_mode:
            os.fchmod(fd, record.original_mode)
        holding.remove_file()
        holding.sync()
        holding.remove()
        claim.clear()
    except OSError:
        return False
    return True


def remove_entry(entry: VaultEntry, claim: EntryLock) -> None:
    """Remove an entry that came to nothing; the next recovery does what cannot be done now."""
    with suppress(OSError):
        entry.remove()
        claim.clear()


_RESERVE = 1 << 20
"""Bytes that must be free in the vault beside the content."""


@dataclass(frozen=True, slots=True)
class SealRequest:
    """The file to take: *fd* is open on what was judged, *path* the name it had then.

    *mode* are the permission bits to restore if a hold has changed them; *id* is that of an entry
    that is not there yet.
    """

    id: str
    fd: int
    path: bytes
    key: str
    evidence: Mapping[str, object]
    mode: int | None = None


class Sealer:
    """Takes files into one vault, sealed for *recipients*; *clock* gives Unix time."""

    def __init__(
        self, shelf: VaultStore, recipients: Sequence[str], clock: Callable[[], float]
    ) -> None:
        """Keep what every taking needs."""
        self._shelf, self._recipients, self._clock = shelf, tuple(recipients), clock

    def move_in(self, wanted: SealRequest) -> SealResult | QuarantineFailure:
        """Do it, or leave everything as it was and say why."""
        if not self._recipients:
            return QuarantineFailure(FailureReason.NO_RECIPIENTS)
        directory, _, name = wanted.path.rpartition(b"/")
        try:
            with OpenDirectory.at(directory or b"/", listable=False) as parent:
                if refusal := self._look(wanted, parent, name):
                    return refusal
                return self._begin(wanted, parent, name)
        except OSError as error:
            return QuarantineFailure.from_error(error, "opening its directory")

    def _look(
        self, wanted: SealRequest, parent: OpenDirectory, name: bytes
    ) -> QuarantineFailure | None:
        """Find what stands in the way before anything is written."""
        found = os.fstat(wanted.fd)
        now = file_id(parent, name)
        if now is None:
            return QuarantineFailure(FailureReason.GONE)
        if now != (found.st_dev, found.st_ino) or not stat.S_ISREG(found.st_mode):
            return QuarantineFailure(FailureReason.CHANGED, "another file has its name")
        if is_immutable(wanted.fd):
            return QuarantineFailure(FailureReason.IMMUTABLE)
        try:
            self._shelf.prepare()
            room = os.statvfs(self._shelf.path)
        except OSError as error:
            return QuarantineFailure.from_internal_error(error, "opening the vault")
        if room.f_bavail * room.f_frsize < found.st_size + _RESERVE:
            return QuarantineFailure(FailureReason.FULL, "the vault has no room for it")
        return None

    def _begin(
        self, wanted: SealRequest, parent: OpenDirectory, name: bytes
    ) -> SealResult | QuarantineFailure:
        """Write the intent down and go."""
        try:
            claim = self._shelf.acquire_new(wanted.id)
        except OSError as error:
            return QuarantineFailure.from_internal_error(error, "writing to the vault")
        if claim is None:
            return QuarantineFailure(
                FailureReason.BUSY, "another process has just taken it under this id"
            )
        entry = self._shelf.entry(wanted.id)
        with claim:
            try:
                record = _intent(wanted, parent, self._clock())
                entry.create(record)
            except OSError as error:
                remove_entry(entry, claim)
                return QuarantineFailure.from_internal_error(error, "writing the record")
            taking = SealOperation(entry, claim, record, wanted.fd, name)
            return taking.run(parent, self._recipients, self._clock)


def _intent(wanted: SealRequest, parent: OpenDirectory, now: float) -> EntryRecord:
    found, above = os.fstat(wanted.fd), os.fstat(parent.fd)
    attributes = FileAttributes.from_fd(wanted.fd)
    return EntryRecord(
        id=wanted.id,
        state=EntryState.TAKING,
        path=wanted.path,
        key=wanted.key,
        at=now,
        origin=OriginalFile(found.st_dev, found.st_ino, found.st_nlink),
        parent=ParentDirectory(
            above.st_dev, above.st_ino, stat.S_IMODE(above.st_mode), above.st_uid, above.st_gid
        ),
        attributes=attributes if wanted.mode is None else attributes.with_mode(wanted.mode),
        original_mode=attributes.mode,
        evidence=wanted.evidence,
    )

"""Restoring a sealed file: its content, owner, mode, times and extended attributes.

1. The record says "restoring", with the target path, durably.
2. The file is put together in a staging directory next to its target, where only this process
   can reach it, and the record names its inode.
3. It is moved to its name once it is complete and durable, never replacing anything.
4. The record says "restored", and the sealed content is removed.

Interrupted before 3, ``recovery`` removes the new file and the content stays sealed; after 3, it
completes 4.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hashwacht.core import paths
from hashwacht.core.errors import CredentialError
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.quarantine import age
from hashwacht.quarantine.age import HashingWriter
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.record import Disposition, EntryRecord, EntryState, ParentDirectory
from hashwacht.quarantine.recovery import complete_restore
from hashwacht.quarantine.staging import StagingDirectory, file_id, make_directory
from hashwacht.quarantine.vault_store import VaultEntry


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """Why a file is restored and where to.

    *secrets* are private keys, needed for sealed files only; *to* is another absolute path.
    *make_parents*: missing directories are created, with owner and mode of the original one.
    """

    why: str
    secrets: Sequence[str] = field(default=(), repr=False)
    to: bytes | None = None
    make_parents: bool = False


@dataclass(frozen=True, slots=True)
class RestoreOperation:
    """One restore of a sealed entry, whose lock is held; *who* decided it."""

    entry: VaultEntry
    record: EntryRecord
    request: RestoreRequest
    who: str
    clock: Callable[[], float]

    def run(self) -> EntryRecord | ActionFailure:
        """Restore the file, or leave everything as it was and return why."""
        path = self.request.to or self.record.path
        directory, _, name = path.rpartition(b"/")
        try:
            if self.request.make_parents:
                _make_parents(directory, self.record.parent)
            with OpenDirectory.at(directory or b"/", listable=False) as parent:
                if file_id(parent, name) is not None:
                    return ActionFailure(FailureReason.TAKEN, paths.escape_path(path))
                return self._restore_in(parent, path)
        except (FileNotFoundError, NotADirectoryError):
            return ActionFailure(FailureReason.NO_PARENT, paths.escape_path(directory))
        except OSError as error:
            return ActionFailure.from_error(error, "restoring it")

    def _restore_in(self, parent: OpenDirectory, path: bytes) -> EntryRecord | ActionFailure:
        """Record the intent, build the file, and name it.  Raises OSError.

        What cannot be undone here is undone by the next recovery.  A file that has its name is
        restored, whether or not the disk has room to record that.
        """
        ending = Disposition(self.clock(), self.who, self.request.why, path)
        intent = replace(self.record, state=EntryState.RESTORING, ending=ending)
        self.entry.write(intent)
        restored = self._build_and_name(parent, path.rpartition(b"/")[2], intent)
        if isinstance(restored, ActionFailure):
            self.entry.write(self.record)
            return restored
        with suppress(OSError):  # the next recovery completes it
            complete_restore(self.entry, restored)
        return replace(restored, state=EntryState.RESTORED)

    def _build_and_name(
        self, parent: OpenDirectory, name: bytes, intent: EntryRecord
    ) -> EntryRecord | ActionFailure:
        """Build the file in a staging directory and move it to its name.  Raises OSError."""
        result: EntryRecord | ActionFailure
        try:
            staging = StagingDirectory.create(parent, self.entry.id)
        except OSError as error:
            return ActionFailure.from_error(error, "creating the staging directory")
        with staging.here:
            try:
                fd = staging.create_file()
                try:
                    result = self._fill(fd, intent)
                finally:
                    os.close(fd)
                if isinstance(result, EntryRecord):
                    self.entry.write(result)
                    staging.move_out(name)
                    staging.sync()
            except OSError as error:
                result = ActionFailure.from_error(error, "writing the restored file")
            staging.remove_file()
            staging.remove()
        return result

    def _fill(self, fd: int, intent: EntryRecord) -> EntryRecord | ActionFailure:
        """Write content and attributes; return the record that names the new file."""
        assert intent.ending is not None
        attributes = intent.attributes
        writer = HashingWriter(fd, sparse=attributes.sparse)
        try:
            content = os.open(self.entry.content, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return ActionFailure(FailureReason.DAMAGED, "the sealed content is missing")
        try:
            with os.fdopen(content, "rb") as source:
                age.unseal(source, writer, self.request.secrets)
        except (age.WrongKey, CredentialError) as error:
            return ActionFailure(FailureReason.WRONG_KEY, error.message)
        except age.CorruptContent as error:
            return ActionFailure(FailureReason.DAMAGED, error.message)
        if writer.sha256() != intent.key:
            detail = "the sealed content is not that of this entry"
            return ActionFailure(FailureReason.DAMAGED, detail)
        writer.finish()
        missing = (*attributes.unread, *attributes.apply(fd))
        os.fsync(fd)
        status = os.fstat(fd)
        names = tuple(map(paths.escape_path, missing))
        ending = replace(intent.ending, dev=status.st_dev, ino=status.st_ino, missing=names)
        return replace(intent, ending=ending)


def _make_parents(directory: bytes, original: ParentDirectory) -> None:
    """Create every missing directory of the path.  Raises OSError."""
    above = b""
    for name in filter(None, directory.split(b"/")):
        with OpenDirectory.at(above or b"/", listable=False) as parent:
            if file_id(parent, name) is None:
                with make_directory(parent, name) as created:
                    os.fchown(created.fd, original.uid, original.gid)
                    os.fchmod(created.fd, original.mode)
        above += b"/" + name

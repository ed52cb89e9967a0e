"""Giving a file back: its content opened with the private key, with everything it had beside it.

It is put together in a holding directory beside its place, where nobody else can reach it, and
gets its name when it is complete and durable, never over something else.  The sealed content goes
when that is recorded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from hashwacht.core import paths
from hashwacht.core.errors import CredentialError
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.quarantine import age
from hashwacht.quarantine.age import HashingWriter
from hashwacht.quarantine.record import Disposition, EntryRecord, EntryState, ParentDirectory
from hashwacht.quarantine.recovery import complete_restore
from hashwacht.quarantine.results import FailureReason, QuarantineFailure
from hashwacht.quarantine.staging import StagingDirectory, file_id, make_directory
from hashwacht.quarantine.vault_store import VaultEntry


@dataclass(frozen=True, slots=True)
class EntryRestoreRequest:
    """Who wants it back, why, and where: *path* is absolute.

    *make_parents*: directories that are missing are made, with owner and mode of the one that
    the file lay in.
    """

    who: str
    why: str
    path: bytes
    make_parents: bool = False


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """It is there again; *record* is the receipt and says where, and what it does not have."""

    record: EntryRecord


def restore(
    entry: VaultEntry,
    record: EntryRecord,
    secrets: Sequence[str],
    wish: EntryRestoreRequest,
    clock: Callable[[], float],
) -> RestoreResult | QuarantineFailure:
    """Do it, or leave everything as it was and say why.  *record* is that of a sealed entry."""
    directory, _, name = wish.path.rpartition(b"/")
    try:
        if wish.make_parents:
            _make_parents(directory, record.parent)
        with OpenDirectory.at(directory or b"/", listable=False) as parent:
            if file_id(parent, name) is not None:
                return QuarantineFailure(FailureReason.TAKEN, paths.escape_path(wish.path))
            return _restore_in(parent, name, _Restoring(entry, record, secrets, wish, clock))
    except (FileNotFoundError, NotADirectoryError):
        return QuarantineFailure(FailureReason.NO_PARENT, paths.escape_path(directory))
    except OSError as error:
        return QuarantineFailure.from_error(error, "restoring it")


def _make_parents(directory: bytes, like: ParentDirectory) -> None:
    """Make every directory of the path that is missing.  Raises OSError."""
    above = b""
    for name in filter(None, directory.split(b"/")):
        with OpenDirectory.at(above or b"/", listable=False) as parent:
            if file_id(parent, name) is None:
                with make_directory(parent, name) as made:
                    os.fchown(made.fd, like.uid, like.gid)
                    os.fchmod(made.fd, like.mode)
        above += b"/" + name


@dataclass(frozen=True, slots=True)
class _Restoring:
    entry: VaultEntry
    record: EntryRecord
    secrets: Sequence[str]
    wish: EntryRestoreRequest
    clock: Callable[[], float]


def _restore_in(
    parent: OpenDirectory, name: bytes, task: _Restoring
) -> RestoreResult | QuarantineFailure:
    """Say where it will be put together, do that, and give it its name.  Raises OSError.

    Whatever is not undone here, because even that fails, the next recovery undoes.
    """
    wish = task.wish
    intent = replace(
        task.record,
        state=EntryState.RESTORING,
        ending=Disposition(task.clock(), wish.who, wish.why, wish.path),
    )
    task.entry.write(intent)
    done = _make_and_name(parent, name, intent, task)
    if isinstance(done, QuarantineFailure):
        task.entry.write(task.record)
        return done
    with suppress(OSError):
        done = complete_restore(task.entry, done)
    return RestoreResult(done)


def _make_and_name(
    parent: OpenDirectory, name: bytes, intent: EntryRecord, task: _Restoring
) -> EntryRecord | QuarantineFailure:
    """Make the file in a holding directory and move it to its name.  Raises OSError."""
    try:
        holding = StagingDirectory.create(parent, task.entry.id)
    except OSError as error:
        return QuarantineFailure.from_error(error, "making a directory beside it")
    with holding.here:
        try:
            fd = holding.create_file()
            try:
                record = _fill(fd, intent, task)
            finally:
                os.close(fd)
            if isinstance(record, EntryRecord):
                task.entry.write(record)
                holding.move_out(name)
                holding.sync()
        except OSError as error:
            record = QuarantineFailure.from_error(error, "putting it together")
        holding.remove_file()
        holding.remove()
    return record


def _fill(fd: int, intent: EntryRecord, task: _Restoring) -> EntryRecord | QuarantineFailure:
    """Write content and attributes; gives the record with which it may get its name."""
    attributes = intent.attributes
    writing = HashingWriter(fd, sparse=attributes.sparse)
    try:
        content = os.open(task.entry.content, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return QuarantineFailure(FailureReason.DAMAGED, "the sealed content is missing")
    try:
        with os.fdopen(content, "rb") as source:
            age.unseal(source, writing, task.secrets)
    except (age.WrongKey, CredentialError) as error:
        return QuarantineFailure(FailureReason.WRONG_KEY, error.message)
    except age.CorruptContent as error:
        return QuarantineFailure(FailureReason.DAMAGED, error.message)
    if writing.sha256() != intent.key:
        return QuarantineFailure(
            FailureReason.DAMAGED, "the content that was sealed is another one"
        )
    writing.finish()
    missing = tuple(paths.escape_path(each) for each in (*attributes.unread, *attributes.apply(fd)))
    os.fsync(fd)
    made = os.fstat(fd)
    assert intent.ending is not None
    ending = replace(intent.ending, dev=made.st_dev, ino=made.st_ino, missing=missing)
    return replace(intent, ending=ending)

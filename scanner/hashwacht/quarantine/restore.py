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
from hashwacht.quarantine.age import Writing
from hashwacht.quarantine.record import Ending, Parent, Record, State
from hashwacht.quarantine.recovery import end_restoring
from hashwacht.quarantine.results import Obstacle, Refusal
from hashwacht.quarantine.staging import Holding, identity, make_directory
from hashwacht.quarantine.vault_store import Entry


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants it back, why, and where: *path* is absolute.

    *make_parents*: directories that are missing are made, with owner and mode of the one that
    the file lay in.
    """

    who: str
    why: str
    path: bytes
    make_parents: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """It is there again; *record* is the receipt and says where, and what it does not have."""

    record: Record


def restore(
    entry: Entry, record: Record, secrets: Sequence[str], wish: Wish, clock: Callable[[], float]
) -> Restored | Refusal:
    """Do it, or leave everything as it was and say why.  *record* is that of a sealed entry."""
    directory, _, name = wish.path.rpartition(b"/")
    try:
        if wish.make_parents:
            _make_parents(directory, record.parent)
        with OpenDirectory.at(directory or b"/", to_list=False) as parent:
            if identity(parent, name) is not None:
                return Refusal(Obstacle.TAKEN, paths.show(wish.path))
            return _restore_in(parent, name, _Restoring(entry, record, secrets, wish, clock))
    except (FileNotFoundError, NotADirectoryError):
        return Refusal(Obstacle.NO_PARENT, paths.show(directory))
    except OSError as error:
        return Refusal.of(error, "restoring it")


def _make_parents(directory: bytes, like: Parent) -> None:
    """Make every directory of the path that is missing.  Raises OSError."""
    above = b""
    for name in filter(None, directory.split(b"/")):
        with OpenDirectory.at(above or b"/", to_list=False) as parent:
            if identity(parent, name) is None:
                with make_directory(parent, name) as made:
                    os.fchown(made.fd, like.uid, like.gid)
                    os.fchmod(made.fd, like.mode)
        above += b"/" + name


@dataclass(frozen=True, slots=True)
class _Restoring:
    entry: Entry
    record: Record
    secrets: Sequence[str]
    wish: Wish
    clock: Callable[[], float]


def _restore_in(parent: OpenDirectory, name: bytes, task: _Restoring) -> Restored | Refusal:
    """Say where it will be put together, do that, and give it its name.  Raises OSError.

    Whatever is not undone here, because even that fails, the next recovery undoes.
    """
    wish = task.wish
    intent = replace(
        task.record,
        state=State.RESTORING,
        ending=Ending(task.clock(), wish.who, wish.why, wish.path),
    )
    task.entry.write(intent)
    done = _make_and_name(parent, name, intent, task)
    if isinstance(done, Refusal):
        task.entry.write(task.record)
        return done
    with suppress(OSError):
        done = end_restoring(task.entry, done)
    return Restored(done)


def _make_and_name(
    parent: OpenDirectory, name: bytes, intent: Record, task: _Restoring
) -> Record | Refusal:
    """Make the file in a holding directory and move it to its name.  Raises OSError."""
    try:
        holding = Holding.make(parent, task.entry.id)
    except OSError as error:
        return Refusal.of(error, "making a directory beside it")
    with holding.here:
        try:
            fd = holding.create()
            try:
                record = _fill(fd, intent, task)
            finally:
                os.close(fd)
            if isinstance(record, Record):
                task.entry.write(record)
                holding.give(name)
                holding.sync()
        except OSError as error:
            record = Refusal.of(error, "putting it together")
        holding.discard()
        holding.remove()
    return record


def _fill(fd: int, intent: Record, task: _Restoring) -> Record | Refusal:
    """Write content and attributes; gives the record with which it may get its name."""
    attributes = intent.attributes
    writing = Writing(fd, sparse=attributes.sparse)
    try:
        content = os.open(task.entry.content, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return Refusal(Obstacle.DAMAGED, "the sealed content is missing")
    try:
        with os.fdopen(content, "rb") as source:
            age.unseal(source, writing, task.secrets)
    except (age.WrongKey, CredentialError) as error:
        return Refusal(Obstacle.WRONG_KEY, error.message)
    except age.Damaged as error:
        return Refusal(Obstacle.DAMAGED, error.message)
    if writing.sha256() != intent.key:
        return Refusal(Obstacle.DAMAGED, "the content that was sealed is another one")
    writing.finish()
    missing = tuple(paths.show(each) for each in (*attributes.unread, *attributes.put(fd)))
    os.fsync(fd)
    made = os.fstat(fd)
    assert intent.ending is not None
    ending = replace(intent.ending, dev=made.st_dev, ino=made.st_ino, missing=missing)
    return replace(intent, ending=ending)

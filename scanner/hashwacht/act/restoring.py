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

from hashwacht import paths
from hashwacht.act import age
from hashwacht.act.holding import Holding, identity, make_directory
from hashwacht.act.record import Ending, Parent, Record, State
from hashwacht.act.recovery import end_restoring
from hashwacht.act.refusal import Obstacle, Refusal
from hashwacht.act.shelf import Entry
from hashwacht.act.streams import Writing
from hashwacht.errors import CredentialError
from hashwacht.files import OpenDirectory


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
    """Make the file in a holding directory and give it its name.  Raises OSError."""
    holding = Holding.make(parent, task.entry.id)
    with holding.here:
        try:
            fd = holding.create()
            try:
                record = _fill(fd, task)
            finally:
                os.close(fd)
            if isinstance(record, Refusal):
                return record
            task.entry.write(record)
            try:
                holding.give(name)
            except OSError as error:
                task.entry.write(task.record)
                return Refusal.of(error, "giving it its name")
            with suppress(OSError):  # the next recovery says that it is restored
                holding.sync()
                record = end_restoring(task.entry, record)
            return Restored(record)
        finally:
            holding.discard()
            holding.remove()


def _fill(fd: int, task: _Restoring) -> Record | Refusal:
    """Write content and attributes; gives the record with which it may get its name."""
    attributes = task.record.attributes
    writing = Writing(fd, sparse=attributes.sparse)
    content = os.open(task.entry.content, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.fdopen(content, "rb") as source:
            age.unseal(source, writing, task.secrets)
    except age.WrongKey as error:
        return Refusal(Obstacle.WRONG_KEY, error.message)
    except (age.Damaged, CredentialError) as error:
        damaged = isinstance(error, age.Damaged)
        return Refusal(Obstacle.DAMAGED if damaged else Obstacle.WRONG_KEY, error.message)
    if writing.sha256() != task.record.key:
        return Refusal(Obstacle.DAMAGED, "the content that was sealed is another one")
    writing.finish()
    missing = tuple(paths.show(each) for each in attributes.put(fd))
    os.fsync(fd)
    made, wish = os.fstat(fd), task.wish
    ending = Ending(task.clock(), wish.who, wish.why, wish.path, made.st_dev, made.st_ino, missing)
    return replace(task.record, state=State.RESTORING, ending=ending)

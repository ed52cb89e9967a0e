"""The stack of a walk: the directories from its root to the present one, and what is pending.

Depth needs neither recursion nor descriptors.  The root and the deepest few directories are held
open; the others are reopened on the way back, by ``..`` from below or else by name from the root,
and in both cases only if device and inode number are still the same.

Width needs no memory.  All levels together hold a bounded number of pending subdirectories.  Beyond
that the shallowest level drops its names and keeps only its position in the order of inode numbers;
it is listed again when the walk returns to it.  A directory with n subdirectories is therefore
listed once more for every 50,000 of them, and an attacker has to let as many directories be walked
for each list that is dropped.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass, field

from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.walk.listing import Key, SubdirectoryBatch, WalkLimits

GONE_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Errors of open(2) for a directory that was removed or replaced by a file or a link."""


@dataclass(slots=True)
class Level:
    """One directory of the stack; *pending* are the subdirectories to walk, the next one last."""

    name: bytes
    id: tuple[int, int]
    handle: OpenDirectory | None
    pending: list[Key] = field(default_factory=list)
    after: Key | None = None
    more: bool = False

    @property
    def done(self) -> bool:
        """True if no subdirectory is pending."""
        return not self.pending and not self.more


class WalkStack:
    """The levels of a walk, root first, *deepest* last.  Owns all their descriptors."""

    def __init__(self, path: bytes, root: OpenDirectory, limits: WalkLimits) -> None:
        self._limits = limits
        self._prefix = path.rstrip(b"/")
        self.path = path
        self.deepest = Level(path, root.id, root)
        self.levels = [self.deepest]
        self._ids = {root.id}
        self._pending = 0

    def below(self, name: bytes) -> bytes:
        """Return the path of *name* in the deepest directory."""
        return (self.path if len(self.levels) > 1 else self._prefix) + b"/" + name

    def contains(self, directory: OpenDirectory) -> bool:
        """Return whether *directory* is on the stack."""
        return directory.id in self._ids

    def push(self, name: bytes, path: bytes, directory: OpenDirectory) -> None:
        """Enter *directory* at *path*, which :meth:`below` returned; the stack will close it."""
        self.path = path
        self.deepest = Level(name, directory.id, directory)
        self.levels.append(self.deepest)
        self._ids.add(directory.id)
        kept = self._limits.kept
        if len(self.levels) > kept + 1:
            self._close(self.levels[-kept - 1])

    def pop_level(self) -> None:
        """Leave the deepest directory, which is not the root."""
        left = self.levels.pop()
        self.deepest = self.levels[-1]
        self._pending -= len(left.pending)
        self._ids.discard(left.id)
        below_root = len(self.levels) > 1
        self.path = self.path[: -len(left.name) - 1] if below_root else self.levels[0].name
        if left.handle is not None:
            if self.deepest.handle is None:
                with suppress(OSError):
                    self.deepest.handle = _same(left.handle.parent(), self.deepest.id)
            left.handle.close()

    def handle(self) -> OpenDirectory | None:
        """Return the deepest directory, reopened if necessary; None if it was moved away.

        Raises OSError.
        """
        level = self.deepest
        if level.handle is None:
            level.handle = self._from_root()
        return level.handle

    def _from_root(self) -> OpenDirectory | None:
        here = self.levels[0].handle
        assert here is not None
        for level in self.levels[1:]:
            try:
                below = here.directory(level.name)
            except OSError as error:
                if error.errno in GONE_ERRNOS:
                    return None
                raise
            finally:
                if here is not self.levels[0].handle:
                    here.close()
            here = below
        return _same(here, self.deepest.id)

    def set_pending(self, batch: SubdirectoryBatch) -> None:
        """Set the pending subdirectories of the deepest directory."""
        level = self.deepest
        level.pending, level.more = batch.keys(), batch.more
        self._pending += len(level.pending)
        if self._pending > self._limits.pending:
            self._drop_shallow_names()

    def _drop_shallow_names(self) -> None:
        for level in self.levels[:-1]:
            if level.pending:
                self._pending -= len(level.pending)
                level.pending, level.more = [], True
                if self._pending <= self._limits.pending:
                    return

    def next(self) -> bytes:
        """Remove and return the next pending subdirectory of the deepest directory."""
        level = self.deepest
        level.after = level.pending.pop()
        self._pending -= 1
        return level.after[1]

    def drop_pending(self) -> None:
        """Drop the pending subdirectories of the deepest directory."""
        level = self.deepest
        self._pending -= len(level.pending)
        level.pending, level.more = [], False

    def close(self) -> None:
        """Close all descriptors."""
        for level in self.levels:
            self._close(level)

    @staticmethod
    def _close(level: Level) -> None:
        if level.handle is not None:
            level.handle.close()
            level.handle = None


def _same(directory: OpenDirectory, expected: tuple[int, int]) -> OpenDirectory | None:
    """Return *directory* if it is the expected one, else close it."""
    if directory.id == expected:
        return directory
    directory.close()
    return None

"""Where a walk is: the directories from its root down to the one it is in, and what is left.

Depth costs neither recursion nor descriptors: the root and the deepest few directories are held
open, the others are opened again on the way back, first by ``..`` from below, else by name from
the root; either way only if it is the same directory still, by device and inode number.

Width costs no memory: a bounded number of names of subdirectories waits in all levels together.
Beyond that, the shallowest level forgets its names and remembers only how far it got, in the
order of inode numbers; it is listed again when the walk is back there.  So a directory with n
subdirectories is listed once more for every 50,000 of them, and an attacker who wants a list
dropped has to let as many directories be walked in between.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass, field

from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.walk.listing import Key, WalkLimits, Window

GONE_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What open(2) says if a directory vanished, or a file or a link has taken its name."""


@dataclass(slots=True)
class Level:
    """One directory of the trail; *pending* are the subdirectories to go to, next one last."""

    name: bytes
    id: tuple[int, int]
    handle: OpenDirectory | None
    pending: list[Key] = field(default_factory=list)
    after: Key | None = None
    more: bool = False

    @property
    def done(self) -> bool:
        """True if no subdirectory is left to go to."""
        return not self.pending and not self.more


class WalkStack:
    """The levels of a walk, root first, *deepest* last.  Owns all their descriptors."""

    def __init__(self, path: bytes, root: OpenDirectory, bounds: WalkLimits) -> None:
        """Start in *root*, which was opened at *path*."""
        self._bounds = bounds
        self._prefix = path.rstrip(b"/")
        self.path = path
        self.deepest = Level(path, root.id, root)
        self.levels = [self.deepest]
        self._ids = {root.id}
        self._pending = 0

    def below(self, name: bytes) -> bytes:
        """Give the path of *name* in the deepest directory."""
        return (self.path if len(self.levels) > 1 else self._prefix) + b"/" + name

    def contains(self, directory: OpenDirectory) -> bool:
        """Tell if the trail goes through *directory* already."""
        return directory.id in self._ids

    def push(self, name: bytes, path: bytes, directory: OpenDirectory) -> None:
        """Go down into *directory*, *path* being :meth:`below` it; the trail will close it."""
        self.path = path
        self.deepest = Level(name, directory.id, directory)
        self.levels.append(self.deepest)
        self._ids.add(directory.id)
        kept = self._bounds.kept
        if len(self.levels) > kept + 1:
            self._close(self.levels[-kept - 1])

    def pop_level(self) -> None:
        """Go up.  The last level cannot be left, only closed."""
        left = self.levels.pop()
        self.deepest = self.levels[-1]
        self._pending -= len(left.pending)
        self._ids.discard(left.id)
        self.path = (
            self.path[: -len(left.name) - 1] if len(self.levels) > 1 else self.levels[0].name
        )
        if left.handle is not None:
            if self.deepest.handle is None:
                with suppress(OSError):
                    self.deepest.handle = _same(left.handle.parent(), self.deepest.id)
            left.handle.close()

    def handle(self) -> OpenDirectory | None:
        """Give the deepest directory, opened again if need be; None if it was moved away.

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

    def set_pending(self, window: Window) -> None:
        """Take over what is to do below the deepest directory."""
        level = self.deepest
        level.pending, level.more = window.keys(), window.more
        if not level.pending:
            return
        self._pending += len(level.pending)
        if self._pending > self._bounds.pending:
            self._forget_the_shallow()

    def _forget_the_shallow(self) -> None:
        for level in self.levels[:-1]:
            if level.pending:
                self._pending -= len(level.pending)
                level.pending, level.more = [], True
                if self._pending <= self._bounds.pending:
                    return

    def next(self) -> bytes:
        """Take the next subdirectory of the deepest directory off its list."""
        level = self.deepest
        level.after = level.pending.pop()
        self._pending -= 1
        return level.after[1]

    def drop_pending(self) -> None:
        """Give up what is left below the deepest directory."""
        level = self.deepest
        self._pending -= len(level.pending)
        level.pending, level.more = [], False

    def close(self) -> None:
        """Give all descriptors back."""
        for level in self.levels:
            self._close(level)

    @staticmethod
    def _close(level: Level) -> None:
        if level.handle is not None:
            level.handle.close()
            level.handle = None


def _same(directory: OpenDirectory, expected: tuple[int, int]) -> OpenDirectory | None:
    """Keep *directory* if it is the expected one, else close it."""
    if directory.id == expected:
        return directory
    directory.close()
    return None

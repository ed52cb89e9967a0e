"""The watched directories of one root, as a tree.

Inotify identifies a watched directory by a number (the *watch descriptor*, wd) and does not report
its path.  Here every directory refers to the one above it, so a rename is one step however many
directories are below.
"""

from __future__ import annotations

from collections.abc import Iterator


class WatchedDirectory:
    """A watched directory; *above* is None for the root, and for detached directories."""

    __slots__ = ("above", "below", "identity", "key", "last_moved_in", "name", "searches", "wd")

    def __init__(self, wd: int, key: int, identity: int) -> None:
        """Create a detached directory whose watch was added under *key*.

        *identity* differs from that of all other directories that exist at the same time.
        """
        self.wd, self.key, self.identity = wd, key, identity
        self.name = b""
        self.last_moved_in = b""
        """The name of the directory that was moved into it last."""
        self.searches = 0
        """How often it was searched for at its place since it was last found there."""
        self.above: WatchedDirectory | None = None
        self.below: dict[bytes, WatchedDirectory] | None = None


class DirectoryTree:
    """All watched directories of one root.  Not thread-safe."""

    def __init__(self, path: bytes, root: WatchedDirectory) -> None:
        self._path = path.rstrip(b"/")
        self.root = root
        self._all = {root.wd: root}
        self._detached: dict[int, WatchedDirectory] = {}

    def __len__(self) -> int:
        return len(self._all)

    def get(self, wd: int) -> WatchedDirectory | None:
        """Return the directory with this watch descriptor."""
        return self._all.get(wd)

    def path(self, directory: WatchedDirectory, name: bytes = b"") -> bytes | None:
        """Return the path of *name* in a directory, or its own; None if it is detached."""
        names = [name] if name else []
        current: WatchedDirectory | None = directory
        while current is not None and current is not self.root:
            names.append(current.name)
            current = current.above
        if current is None:
            return None
        return b"/".join([self._path, *reversed(names)]) or b"/"

    def find(self, path: bytes) -> WatchedDirectory | None:
        """Return the watched directory at *path*, which is the root's or below it."""
        current: WatchedDirectory | None = self.root
        for name in path[len(self._path) :].split(b"/"):
            if name and current is not None:
                current = self.child(current, name)
        return current

    def attach(
        self, above: WatchedDirectory, name: bytes, watched: WatchedDirectory
    ) -> WatchedDirectory | None:
        """Attach *watched* as *name* in *above*; return it if it is new or was elsewhere.

        A directory with the same wd takes its place, and another directory of that name is
        detached.  A directory that would be below itself stays where it is: it is a bind mount of
        one above it.
        """
        known = self._all.setdefault(watched.wd, watched)
        if known is not watched:
            is_above = known is self.root or self._is_above(known, above)
            if is_above or self.child(above, name) is known:
                return None
            self.detach(known)
        replaced = self.child(above, name)
        if replaced is not None:
            self.detach(replaced)
        if above.below is None:
            above.below = {}
        above.below[name] = known
        known.above, known.name = above, name
        self._detached.pop(known.wd, None)
        return known

    def child(self, above: WatchedDirectory, name: bytes) -> WatchedDirectory | None:
        """Return the watched directory *name* in *above*."""
        return above.below.get(name) if above.below else None

    def detach(self, directory: WatchedDirectory) -> None:
        """Detach a directory that is not where it was; all below stays with it."""
        above, directory.above = directory.above, None
        self._detached[directory.wd] = directory
        if above is not None and above.below is not None:
            if above.below.get(directory.name) is directory:
                del above.below[directory.name]
            if not above.below:
                above.below = None

    def remove(self, directory: WatchedDirectory) -> None:
        """Remove a directory that is not watched any more; those in it become detached."""
        for child in list((directory.below or {}).values()):
            self.detach(child)
        self.detach(directory)
        del self._detached[directory.wd]
        self._all.pop(directory.wd, None)

    def subtree(self, directory: WatchedDirectory) -> Iterator[WatchedDirectory]:
        """Yield a directory and all directories below it, the outer ones first."""
        pending = [directory]
        while pending:
            current = pending.pop()
            yield current
            pending.extend((current.below or {}).values())

    def detached(self) -> list[WatchedDirectory]:
        """Return the detached directories, without those below them."""
        return list(self._detached.values())

    def _is_above(self, directory: WatchedDirectory, other: WatchedDirectory) -> bool:
        current: WatchedDirectory | None = other
        while current is not None and current is not directory:
            current = current.above
        return current is directory

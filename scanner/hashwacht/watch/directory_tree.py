"""The directories below one root that are watched, as a tree: what is where, by its number.

Inotify knows a watched directory by a number only (the *watch descriptor*, wd) and never tells
where it is now.  Here every directory knows the one above it, so a rename is one step however
much lies below.
"""

from __future__ import annotations

from collections.abc import Iterator


class WatchedDirectory:
    """A watched directory; *above* is None for the root, and for what has been moved away."""

    __slots__ = ("above", "below", "identity", "key", "latest", "looks", "name", "wd")

    def __init__(self, wd: int, key: int, identity: int) -> None:
        """Lie nowhere yet; *key* is what the watch was asked for under.

        *identity* tells it from all other directories that there are at the same time.
        """
        self.wd, self.key, self.identity = wd, key, identity
        self.name = b""
        self.latest = b""
        """Which of the directories in it was moved there last."""
        self.looks = 0
        """Times that it was looked for where it should be, since it was last found there."""
        self.above: WatchedDirectory | None = None
        self.below: dict[bytes, WatchedDirectory] | None = None


class DirectoryTree:
    """All watched directories of one root.  Not thread-safe."""

    def __init__(self, path: bytes, root: WatchedDirectory) -> None:
        """Begin with the root, which is at *path*."""
        self._path = path.rstrip(b"/")
        self.root = root
        self._all = {root.wd: root}
        self._adrift: dict[int, WatchedDirectory] = {}

    def __len__(self) -> int:
        return len(self._all)

    def get(self, wd: int) -> WatchedDirectory | None:
        """Give the directory that is watched as *wd*."""
        return self._all.get(wd)

    def path(self, directory: WatchedDirectory, name: bytes = b"") -> bytes | None:
        """Give the path of *name* in a directory (or its own); None if it was moved away."""
        names = [name] if name else []
        here: WatchedDirectory | None = directory
        while here is not None and here is not self.root:
            names.append(here.name)
            here = here.above
        if here is None:
            return None
        return b"/".join([self._path, *reversed(names)]) or b"/"

    def find(self, path: bytes) -> WatchedDirectory | None:
        """Give the watched directory at *path*, which is the root's or below it."""
        here: WatchedDirectory | None = self.root
        for name in path[len(self._path) :].split(b"/"):
            if name and here is not None:
                here = self.child(here, name)
        return here

    def attach(
        self, above: WatchedDirectory, name: bytes, watched: WatchedDirectory
    ) -> WatchedDirectory | None:
        """Note that *watched* is *name* in *above*; give it if it is new or lay elsewhere.

        One that is known by the same wd is given in its stead.  Whatever else had that name is
        taken off.  A directory that would come to lie below itself stays where it is: it is a
        mount of one that is above it.
        """
        known = self._all.setdefault(watched.wd, watched)
        if known is not watched:
            if known is self.root or self._is_above(known, above):
                return None
            if self.child(above, name) is known:
                return None
            self.detach(known)
        self._hang(above, name, known)
        return known

    def child(self, above: WatchedDirectory, name: bytes) -> WatchedDirectory | None:
        """Give the watched directory *name* in *above*."""
        return above.below.get(name) if above.below else None

    def detach(self, directory: WatchedDirectory) -> None:
        """Note that a directory is not where it was; all below stays with it."""
        above, directory.above = directory.above, None
        self._adrift[directory.wd] = directory
        if above is not None and above.below is not None:
            if above.below.get(directory.name) is directory:
                del above.below[directory.name]
            if not above.below:
                above.below = None

    def forget(self, directory: WatchedDirectory) -> None:
        """Forget one directory that is not watched any more; what was below is adrift."""
        for each in list((directory.below or {}).values()):
            self.detach(each)
        self.detach(directory)
        del self._adrift[directory.wd]
        self._all.pop(directory.wd, None)

    def subtree(self, directory: WatchedDirectory) -> Iterator[WatchedDirectory]:
        """Give a directory and all that is watched below it, the outer ones first."""
        waiting = [directory]
        while waiting:
            here = waiting.pop()
            yield here
            waiting.extend((here.below or {}).values())

    def detached(self) -> list[WatchedDirectory]:
        """Give the directories that were moved away, without those below them."""
        return list(self._adrift.values())

    def _hang(self, above: WatchedDirectory, name: bytes, directory: WatchedDirectory) -> None:
        replaced = self.child(above, name)
        if replaced is not None:
            self.detach(replaced)
        if above.below is None:
            above.below = {}
        above.below[name] = directory
        directory.above, directory.name = above, name
        self._adrift.pop(directory.wd, None)

    def _is_above(self, directory: WatchedDirectory, other: WatchedDirectory) -> bool:
        here: WatchedDirectory | None = other
        while here is not None and here is not directory:
            here = here.above
        return here is directory

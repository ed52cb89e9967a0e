"""Write files into a root as fast as possible: ``fill_root.py ROOT FILES``.

Files are written, or moved into place, in new directories nested three deep; directories are
renamed, whole trees are moved in; and twice another directory replaces the root.
"""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

NEST = 50
"""Files in a directory."""


class Flood:
    """Writes below *root*; ``beside`` holds the trees to move there later."""

    def __init__(self, root: Path) -> None:
        self.root, self.beside = root, root.with_name("beside")
        self.beside.mkdir()
        self.numbers = count()

    def fill(self, top: Path, files: int) -> None:
        """Write files into new directories below *top*."""
        for _ in range(0, files, NEST):
            number = next(self.numbers)
            folder = top / f"{number}" / "a" / "b"
            folder.mkdir(parents=True)
            for name in range(NEST):
                write(f"{folder}/{number}-{name}", moved=name % 2 == 0)
            if number % 3 == 0:
                renamed = (top / f"{number}").rename(top / f"renamed-{number}")
                write(f"{renamed}/a/{number}-late", moved=False)

    def move_in(self, files: int) -> None:
        """Fill a tree elsewhere and move it into the root."""
        tree = self.beside / "tree"
        self.fill(tree, files)
        tree.rename(self.root / f"moved-in-{next(self.numbers)}")

    def replace(self) -> None:
        """Replace the root by a directory with files, and move the old one into it."""
        path = self.beside / "other"
        self.fill(path, NEST)
        old = self.root.rename(self.beside / "old")
        path.rename(self.root)
        self.fill(self.root, NEST)
        old.rename(self.root / f"old-{next(self.numbers)}")


def write(path: str, *, moved: bool) -> None:
    """Write a file, under another name first if it is to be *moved* into place."""
    first = f"{path}.part" if moved else path
    fd = os.open(first, os.O_CREAT | os.O_WRONLY)
    os.write(fd, path.encode())
    os.close(fd)
    if moved:
        Path(first).rename(path)


def main(root: Path, files: int) -> None:
    """Write about *files* files in all."""
    flood, part = Flood(root), files // 10
    for turn in range(10):
        if turn in {3, 6}:
            flood.replace()
        if turn % 2:
            flood.move_in(part)
        else:
            flood.fill(root, part)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

"""Kill this process in the middle of a migration."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.schema import STEPS


class Fatal(tuple[str, ...]):
    """A step that kills its process after its first statement."""

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        yield self[0]
        os.kill(os.getpid(), 9)


if __name__ == "__main__":
    Database.open(
        Path(sys.argv[1]),
        steps=(STEPS[0], Fatal(["CREATE TABLE cases (id INTEGER PRIMARY KEY, content INTEGER)"])),
    )

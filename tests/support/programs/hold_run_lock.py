"""Take the run lock of a storage, fork a child, print its pid, and wait to be killed."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from pathlib import Path

from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.state_directory import RunLock


def main(path: Path) -> None:
    """Hold the lock until killed; the child outlives this process."""
    with closing(Database.open(path)):
        lock = RunLock.acquire(path)
        lock.set_run(7)
        child = os.fork()
        if not child:
            signal.pause()
        os.write(1, b"%d\n" % child)
        signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

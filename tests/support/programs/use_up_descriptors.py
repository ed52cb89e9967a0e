"""Write to and read from an open storage after using up all descriptors."""

from __future__ import annotations

import os
import resource
import sys
import threading
from pathlib import Path

from hashwacht.core.types import FileId, Reason
from hashwacht.storage.files import Files
from hashwacht.storage.sqlite.database import Database


def main(path: Path) -> None:
    """Print the results of two reads, and whether all names were written."""
    files = Files(Database.open(path))
    ready, exhausted = threading.Event(), threading.Event()
    results: list[bool] = []

    def read() -> None:
        results.append(files.is_directory_done(b"/srv", 1))
        ready.set()
        exhausted.wait(10)
        results.append(files.is_directory_done(b"/srv", 1))

    reader = threading.Thread(target=read)
    reader.start()
    ready.wait(10)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            os.dup(0)
    except OSError:
        pass
    names = [b"%d" % number for number in range(20_000)]
    files.record(b"/srv", 1, [(n, FileId(1, 1, 1, 1, 1), 1, None, Reason.CHANGED) for n in names])
    files.mark_directory_done(b"/srv", 1)
    exhausted.set()
    reader.join(10)
    sys.stdout.write(f"{results} {sorted(files.missing_names(b'/srv', ())) == sorted(names)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The same storage opened twice in one process must keep SQLite's locks.

fcntl(2) releases all locks of a process on a file as soon as it closes any descriptor of that
file.  Another process that then closes the storage takes itself for the last one and removes the
log that the first still writes to (sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hashwacht.storage.store import Store

OPEN_AND_CLOSE = """
import sys
from pathlib import Path
from hashwacht.storage.store import Store
with Store.open(Path(sys.argv[1])) as store:
    print(len(store.runs.load_latest(10)))
"""


def elsewhere(directory: Path) -> int:
    """Open and close the storage in another process; return the number of runs it sees."""
    command = [sys.executable, "-c", OPEN_AND_CLOSE, str(directory)]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def test_other_processes_see_writes_after_a_second_opening(tmp_path: Path) -> None:
    with Store.open(tmp_path) as first:
        first.runs.start("scan", (), "", 1.0)
        with Store.open(tmp_path) as second:
            assert len(second.runs.load_latest(10)) == 1
        assert elsewhere(tmp_path) == 1
        first.runs.start("scan", (), "", 2.0)
        assert elsewhere(tmp_path) == 2
    assert elsewhere(tmp_path) == 2

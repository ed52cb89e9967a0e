"""Take the run lock of a storage, fork a child, print its pid, and wait to be killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.state_directory import RunLock

path = Path(sys.argv[1])
database = Database.open(path)
lock = RunLock.acquire(path)
lock.set_run(7)
child = os.fork()
if not child:
    signal.pause()
os.write(1, b"%d\n" % child)
signal.pause()

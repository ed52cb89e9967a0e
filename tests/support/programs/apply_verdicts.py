"""Apply a verdict to every file below a directory as the daemon does, until killed.

Each line of the input holds seconds: a forked process does the work, is killed after that time,
and ``killed`` is printed.  At the end of the input, a last process completes the work.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from hashwacht.core.types import Signal
from hashwacht.quarantine.age import KeyPair
from hashwacht.settings import ActionLimitSettings
from support.cases import CaseHarness, match

NEAR = b"near"
"""Contents that begin so match by a picture hash only, and are held; others are quarantined."""

MANY = ActionLimitSettings(per_hash=10**6, per_account=10**6, per_root=10**6)


def apply_all(home: Path, public: str) -> None:
    """Start as the daemon does, then apply a verdict to every file."""
    harness = CaseHarness(home, keys=KeyPair(public, ""), limits=MANY).open()
    harness.clock.now = time.time()
    harness.processor.retry_due(harness.clock.now)
    for path in sorted(harness.files.iterdir()):
        if not path.is_file():  # a staging directory
            continue
        name = os.fsencode(path)
        near = path.read_bytes().startswith(NEAR)
        harness.apply(name, match(Signal("pdq", "0" * 64, 100)) if near else None)
    harness.close()


def kill_after(seconds: float, home: Path, public: str) -> None:
    """Fork a process and kill it after so many seconds."""
    child = os.fork()
    if not child:
        apply_all(home, public)
        os._exit(0)
    time.sleep(seconds)  # no event to wait for: any instant counts
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.write(1, b"killed\n")


if __name__ == "__main__":
    for line in sys.stdin:
        kill_after(float(line), Path(sys.argv[1]), sys.argv[2])
    apply_all(Path(sys.argv[1]), sys.argv[2])

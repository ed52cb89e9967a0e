"""The memory in the status."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal
from hashwacht.daemon.status.reporter import _resident_memory
alone = _resident_memory()
shared = b"x" * (64 << 20)
children = []
for _ in range(5):
    ready, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"x")
        signal.pause()
    children.append(child)
    os.read(ready, 1)
try:
    print((_resident_memory() - alone) >> 20)
finally:
    for child in children:
        os.kill(child, signal.SIGKILL)
"""


def test_shared_pages_count_once() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert 60 <= int(result.stdout) < 128, "six processes share 64 MiB"

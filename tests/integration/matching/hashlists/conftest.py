"""Processes that import lists and are killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

IMPORT = """
import resource
import signal
import sys
from pathlib import Path
from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import ListMetadata

directory, source, name, largest = sys.argv[1:]
if int(largest):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), int(largest)))
print("ready", flush=True)
try:
    with open(source, "rb") as file:
        HashLists(Path(directory)).import_list(file, ListMetadata(name))
except ListError as error:
    print("error", error, flush=True)
else:
    print("done", flush=True)
"""


@pytest.fixture
def importer() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that prints "ready", imports a file as a list and prints "done".

    *largest* is the maximum size in bytes of any file it writes, 0 for no limit.
    """
    started: list[subprocess.Popen[str]] = []

    def start(directory: Path, source: Path, name: str, largest: int = 0) -> subprocess.Popen[str]:
        arguments = [str(directory), str(source), name, str(largest)]
        command = [sys.executable, "-c", IMPORT, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

"""Processes that import lists, to be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

IMPORT = """
import sys
from pathlib import Path
from hashwacht.match.lists import HashLists
from hashwacht.match.list_terms import ListTerms

directory, source, name = sys.argv[1:]
print("ready", flush=True)
with open(source, "rb") as file:
    HashLists(Path(directory)).import_list(file, ListTerms(name))
print("done", flush=True)
"""

Importer = Callable[[Path, Path, str], "subprocess.Popen[str]"]


@pytest.fixture
def importer() -> Iterator[Importer]:
    """Start a process that says "ready", imports a file as a list and says "done"."""
    started: list[subprocess.Popen[str]] = []

    def start(directory: Path, source: Path, name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", IMPORT, str(directory), str(source), name]
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

"""Servers and applications of others, with the configuration of their page: `make test-clients`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients.hosting import HostingMachine, hosting_machine

collect_ignore_glob = [] if "HASHWACHT_CLIENTS" in os.environ else ["test_*.py"]


@pytest.fixture(scope="session")
def machine() -> Iterator[HostingMachine]:
    with hosting_machine() as machine:
        yield machine


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="hashwacht-client-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)

"""The directory in which all applications of a server store uploads, and their checker."""

from __future__ import annotations

import os
from pathlib import Path

from hashwacht import Checker
from hashwacht_plugins.policy import Policy

POLICY = Policy(timeout=30)


def directory() -> Path:
    """Return the directory, created if necessary."""
    path = Path(os.environ["HOME"]) / "stored"
    path.mkdir(exist_ok=True)
    return path


def store(name: str, content: bytes) -> str:
    """Store an upload under the name of the application."""
    (directory() / name).write_bytes(content)
    return "stored\n"


CHECKER = Checker.configured()
"""One for all applications of a process, as they share its workers."""

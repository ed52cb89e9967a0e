"""Runs ``hashwacht-hook`` as a server does: by its own name, or by a link."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import hashwacht_hooks

PROGRAM = Path(hashwacht_hooks.__file__).with_name("hashwacht-hook")


def run_hook(
    name: str,
    *arguments: str | Path,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Return the finished process of one hook."""
    return subprocess.run(
        [PROGRAM, name, *map(os.fsencode, arguments)],
        input=given,
        env=dict(environment or {}),
        capture_output=True,
        check=False,
        timeout=120,
    )

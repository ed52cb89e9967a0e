"""The packages of this checkout, built once for all tests of a run."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "packaging/packages/build.py"

_log = logging.getLogger(__name__)


def build_packages(directory: Path, *targets: str) -> None:
    """Build the packages of these targets, such as ``debian12:amd64``, into *directory*."""
    began = time.monotonic()
    subprocess.run([sys.executable, PROGRAM, directory, *targets], check=True)
    _log.info("%d packages were built in %.0f s", len(targets), time.monotonic() - began)


def debian_package(directory: Path) -> Path:
    """Return the package for Debian 12 among those in *directory*."""
    (package,) = directory.glob("*~deb12_amd64.deb")
    return package

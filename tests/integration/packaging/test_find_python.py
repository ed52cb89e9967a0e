"""Which Python the installers take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return a directory with an old python3, as on RHEL 9."""
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 1\necho "Python 3.9.18"\n')
    old.chmod(0o755)
    return tmp_path


def run(script: str, programs: Path) -> subprocess.CompletedProcess[str]:
    path = str(programs) if script == "find-python" else f"{programs}:{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", ROOT / "packaging" / script],
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_newer_python_beside_an_older_python3_is_found(programs: Path) -> None:
    assert run("find-python", programs).stdout == ""
    (programs / "python3.11").symlink_to(sys.executable)
    assert run("find-python", programs).stdout == f"{programs}/python3.11\n"


def test_the_installer_takes_it(programs: Path) -> None:
    """The substitute lacks venv, so that the installer stops before it changes anything."""
    newer = programs / "python3.14"
    newer.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n')
    newer.chmod(0o755)
    result = run("systemd/install", programs)
    assert result.returncode == 1
    assert "venv is missing" in result.stderr

"""Official schemas that may not be part of this repository, where a checkout has them beside it."""

from __future__ import annotations

from pathlib import Path

import pytest


def find_official_formats() -> Path | None:
    """Return the directory ``shared/formats`` beside a parent of this checkout, if there is one."""
    directories = (parent / "shared" / "formats" for parent in Path(__file__).resolve().parents)
    return next((directory for directory in directories if directory.is_dir()), None)


def official_formats() -> Path:
    """Return that directory; without one the test is skipped."""
    directory = find_official_formats()
    if directory is None:
        pytest.skip("the official schemas are not beside this checkout")
    return directory

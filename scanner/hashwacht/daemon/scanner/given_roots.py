"""Directories that were named on the command line, as roots of the configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from hashwacht.settings import Given, RootSettings

_LONGEST = 40
"""Characters of a name; there is room for a number behind it."""


def given_roots(configured: Sequence[RootSettings], paths: Sequence[Path]) -> tuple[Given, ...]:
    """Give each directory that is not configured yet a root of its own, named after it."""
    known = {root.path for root in configured}
    names = {root.name for root in configured}
    given = []
    for path in dict.fromkeys(Path(os.path.normpath(each.absolute())) for each in paths):
        if path not in known:
            name = _free(_name(path), names)
            names.add(name)
            given.append(Given(f"roots.{name}.path", str(path), "--root"))
    return tuple(given)


def _name(path: Path) -> str:
    """Make a name of the last part of a path; ``root`` if nothing of it will do."""
    words = re.findall("[a-z0-9]+", path.name.lower())
    return "-".join(words)[:_LONGEST].strip("-") or "root"


def _free(name: str, taken: set[str]) -> str:
    """Give the name, with a number if it is taken."""
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(each for each in (name, *numbered) if each not in taken)

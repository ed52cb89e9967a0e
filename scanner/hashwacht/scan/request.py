"""What to scan, and how."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hashwacht.walk.rules import Rules
from hashwacht.settings.units import RateLimit


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """*roots* are absolute paths; *rate* limits the reading.

    *full* reads unchanged files again, *restart* begins anew where an interrupted run of the
    same request would be resumed; *jobs* is how many files are read at the same time.
    """

    roots: tuple[bytes, ...]
    rules: Rules
    one_file_system: bool = True
    full: bool = False
    restart: bool = False
    jobs: int = 1
    rate: RateLimit | None = None

    @property
    def options(self) -> str:
        """What makes two scans of the same roots the same scan, as canonical JSON."""
        rules = [str(rule) for rule in self.rules.rules]
        return json.dumps(
            {"full": self.full, "one_file_system": self.one_file_system, "rules": rules},
            sort_keys=True,
        )

"""A notice: something that people outside have to be told.  It has no field for content."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

LONGEST = 64 * 1024
"""Characters of the JSON of a notice."""


class NoticeKind(StrEnum):
    """What happened."""

    CASE = "case"
    """A content matched, at a new place or for the first time."""
    FLOOD = "flood"
    """The flood guard holds actions."""
    GAP = "gap"
    """Something may have been missed and has not been made up for within its time."""
    OUTAGE = "outage"
    """A matcher has not answered for a while."""
    TROUBLE = "trouble"
    """An action failed, a part does not run, the disk is full."""
    TEST = "test"
    """Somebody tries if alerts arrive."""


@dataclass(frozen=True, slots=True)
class Notice:
    """*summary* is one printable line; *case* the JSON of the case, empty if there is none.

    *at* is Unix time.  Paths in it are written as :mod:`hashwacht.paths` says.
    """

    kind: NoticeKind
    at: float
    summary: str
    case: str = ""

"""A notice: a message to the administrators.  It has no field for content."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum

from hashwacht.core.text import replace_unprintable, truncate

MAX_NOTICE_CHARS = 64 * 1024
"""Characters of the JSON of a notice."""

MAX_SUMMARY_CHARS = 400


class NoticeKind(StrEnum):
    """What happened."""

    CASE = "case"
    """A content matched, for the first time or in another file."""
    FLOOD = "flood"
    """The action limit has paused actions."""
    GAP = "gap"
    """A gap has not been closed by a rescan in time."""
    OUTAGE = "outage"
    """A matcher has not answered for a while, or a hash list is stale."""
    TROUBLE = "trouble"
    """An action failed, a process does not run, the disk is full."""
    TEST = "test"
    """A test alert."""


class ChannelKind(StrEnum):
    """How notices are delivered."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Notice:
    """*summary* is one printable line; *case* the JSON of the case, empty if there is none.

    *at* is Unix time.  Paths are escaped as in :mod:`hashwacht.core.paths`.
    """

    kind: NoticeKind
    at: float
    summary: str
    case: str = ""


def sanitize_notice(notice: Notice) -> Notice:
    """Return a notice that can be sent: no alert is lost because of its text.

    Unprintable characters of the summary become question marks; a case that is too long or not a
    JSON object is left out, with a remark in the summary.
    """
    case = notice.case
    problem = "" if not case or _is_object(case) else " (its details could not be sent)"
    summary = truncate(replace_unprintable(notice.summary, "?"), MAX_SUMMARY_CHARS - len(problem))
    return replace(notice, summary=summary + problem, case="" if problem else case)


def _is_object(case: str) -> bool:
    try:
        case.encode()
        return len(case) <= MAX_NOTICE_CHARS and isinstance(json.loads(case), dict)
    except (ValueError, RecursionError):
        return False

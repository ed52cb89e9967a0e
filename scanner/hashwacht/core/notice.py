"""A notice: something that people outside have to be told.  It has no field for content."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum

from hashwacht.core.text import replace_unprintable, truncate

MAX_NOTICE_CHARS = 64 * 1024
"""Characters of the JSON of a notice."""

MAX_SUMMARY_CHARS = 400
"""Characters of the line that says what happened."""


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


class ChannelKind(StrEnum):
    """By which way people are told."""

    MAIL = "mail"
    WEBHOOK = "webhook"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Notice:
    """*summary* is one printable line; *case* the JSON of the case, empty if there is none.

    *at* is Unix time.  Paths in it are written as :mod:`hashwacht.core.paths` says.
    """

    kind: NoticeKind
    at: float
    summary: str
    case: str = ""


def sanitize_notice(notice: Notice) -> Notice:
    """Make a notice fit to be sent: no alert is lost because its text is odd.

    What cannot be shown in the summary becomes a question mark; a case that is too long, or no
    JSON object, is left out, and the summary says so.
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

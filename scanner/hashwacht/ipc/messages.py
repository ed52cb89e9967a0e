"""What scanner and courier say to one another: every message there is, as frozen values.

The scanner reads customers' files and has no network; the courier has a network and sees no
file.  So what may pass between them decides what can leave this machine, and **no message has
a field that could carry content**: a question is a signal type and a value in the canonical form
of that type and of its length (32 hexadecimal digits for an MD5, 64 for a PDQ), names are names
of the configuration, and nothing of it is ever free text.  A service gets nothing but these.

The one text is that of a notice, written for people and sent to nobody but those whom the
configuration names: a summary of one line and a case as JSON, both bounded.  A scanner that was
taken over could write lies into the administrator's mail; it could not address it to itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hashwacht.core.notice import Notice
from hashwacht.core.types import Finding, Reason

Key = tuple[str, str]
"""Type and value: what a service sees of a signal, whatever variant it was taken from."""

MOST_SIGNALS = 256
"""Signals in one question."""

MOST_HITS = 16
"""Entries that are told of one signal; a seventeenth would not change the verdict."""

MOST_NOTICES = 64
"""Notices in one message."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What does *matcher* say of these signals?  Answered by Answers."""

    matcher: str
    signals: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """How does *matcher* do?  Answered by Checked."""

    matcher: str


@dataclass(frozen=True, slots=True)
class Describe:
    """Who is there?  Answered by Described, at once: it also shows that the courier lives."""


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A notice in a message; *name* is the same in every attempt and channel.

    *left_out* counts older ones that had to make room for it.
    """

    name: str
    notice: Notice
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Deliver:
    """Tell these by *channel*.  *batch* is the same in every attempt.  Answered by Delivered."""

    channel: str
    batch: str
    notices: tuple[Enclosed, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """What a service says of a signal that it knows; the terms are those of Match."""

    category: str
    distance: int | None
    list: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of one signal: hits (none: not known), or with *reason* why nothing was."""

    hits: tuple[Hit, ...] = ()
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """One for each signal, in order; *revision* is the digest of the matcher's revision."""

    revision: str
    heard: tuple[Heard, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """How a matcher does."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class Described:
    """The names of the matchers and channels that the courier serves."""

    matchers: tuple[str, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """It arrived; *problem* is what went wrong all the same, such as one address of several."""

    problem: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not be done."""

    problem: str
    advice: str = ""


Request = Ask | Check | Describe | Deliver
Reply = Answers | Checked | Described | Delivered | Failed


def digest(revision: str) -> str:
    """Shorten a revision, which may be of any length and hold any text."""
    return hashlib.sha256(revision.encode("utf-8", "surrogatepass")).hexdigest()

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
from hashwacht.core.types import Diagnostic, Reason

SignalKey = tuple[str, str]
"""Type and value: what a service sees of a signal, whatever variant it was taken from."""

MAX_SIGNALS = 256
"""Signals in one question."""

MAX_HITS = 16
"""Entries that are told of one signal; a seventeenth would not change the verdict."""

MAX_NOTICES = 64
"""Notices in one message."""


@dataclass(frozen=True, slots=True)
class SignalLookupRequest:
    """What does *matcher* say of these signals?  Answered by Answers."""

    matcher: str
    signals: tuple[SignalKey, ...]


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """How does *matcher* do?  Answered by Checked."""

    matcher: str


@dataclass(frozen=True, slots=True)
class DescribeRequest:
    """Who is there?  Answered by Described, at once: it also shows that the courier lives."""


@dataclass(frozen=True, slots=True)
class NoticeEnvelope:
    """A notice in a message; *name* is the same in every attempt and channel.

    *left_out* counts older ones that had to make room for it.
    """

    name: str
    notice: Notice
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class DeliverRequest:
    """Tell these by *channel*.  *batch* is the same in every attempt.  Answered by Delivered."""

    channel: str
    batch: str
    notices: tuple[NoticeEnvelope, ...]


@dataclass(frozen=True, slots=True)
class ServiceHit:
    """What a service says of a signal that it knows; the terms are those of Match."""

    category: str
    distance: int | None
    list: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class SignalReply:
    """What was heard of one signal: hits (none: not known), or with *reason* why nothing was."""

    hits: tuple[ServiceHit, ...] = ()
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SignalLookupReply:
    """One for each signal, in order; *revision* is the digest of the matcher's revision."""

    revision: str
    heard: tuple[SignalReply, ...]


@dataclass(frozen=True, slots=True)
class CheckReply:
    """How a matcher does."""

    finding: Diagnostic


@dataclass(frozen=True, slots=True)
class DescribeReply:
    """The names of the matchers and channels that the courier serves."""

    matchers: tuple[str, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeliverReply:
    """It arrived; *problem* is what went wrong all the same, such as one address of several."""

    problem: str = ""


@dataclass(frozen=True, slots=True)
class FailureReply:
    """It could not be done."""

    problem: str
    advice: str = ""


CourierRequest = SignalLookupRequest | CheckRequest | DescribeRequest | DeliverRequest
CourierReply = SignalLookupReply | CheckReply | DescribeReply | DeliverReply | FailureReply


def revision_digest(revision: str) -> str:
    """Shorten a revision, which may be of any length and hold any text."""
    return hashlib.sha256(revision.encode("utf-8", "surrogatepass")).hexdigest()

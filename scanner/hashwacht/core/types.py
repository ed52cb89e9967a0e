"""The words of Hashwacht as frozen values: signals, fingerprints, answers, verdicts.

Standard library only, no behaviour beyond reading and writing themselves, so that every
other room can import this one.  The vocabulary is that of the field (Meta's ThreatExchange:
*signal type*, *signal*, *bank*, *match*, *distance*); *no match* is never called anything kinder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

CONTENT_KEY_TYPE = "sha256"
"""The digest that identifies a content in the state; computed for every content."""

PDQ_MIN_QUALITY = 50
"""Below this a PDQ hash is recorded but never asked (Meta, pdq/README: discard quality <= 49)."""

QUICK = "quick"
"""Variant of a picture hash that was computed from less than the whole picture."""

QUICK_ERROR_BITS: Mapping[str, int] = MappingProxyType({"pdq": 10, "phash64": 4, "dhash64": 2})
"""By how many bits a quick hash may differ from the exact one, by signal type."""

CSAM = "csam"
"""The category of a match whose matcher says: known child sexual abuse material."""


class Outcome(StrEnum):
    """What can be said of a content.  There is no fourth word."""

    MATCH = "match"
    NO_MATCH = "no-match"
    UNDETERMINED = "undetermined"


class Reason(StrEnum):
    """Why a signal was not computed, or why a verdict is undetermined."""

    # The content itself was out of reach.
    UNREADABLE = "unreadable"
    """The file system refused: permissions, I/O error."""
    CHANGED = "changed-while-read"
    """The file was written to during both attempts to read it."""
    # A signal that could judge this kind of content could not be computed.
    DAMAGED = "damaged"
    """Too damaged to decode: no browser would show a picture either."""
    OVER_LIMIT = "over-limit"
    """More pixels, frames, bytes or memory than the budget allows."""
    TIMED_OUT = "timed-out"
    """More processor or wall-clock time than the budget allows."""
    WORKER_DIED = "worker-died"
    """The process that decoded it died of it."""
    NO_DECODER = "no-decoder"
    """A picture of a kind for which no decoder is installed (HEIC without the extra)."""
    HASHER_FAILED = "hasher-failed"
    """An operator's own signal type raised or answered nonsense."""
    # A matcher gave no usable answer.
    UNANSWERED = "unanswered"
    """Unreachable, timed out, reset, overloaded, or an answer nobody understands."""
    REFUSED = "refused"
    """The service refused our credentials or our question."""
    NOT_JUDGED = "not-judged"
    """No configured matcher accepts any signal that this content has."""
    NEEDS_EXACT_HASH = "close-call"
    """A quick hash is so near an entry of a list that only the exact hash can tell."""
    # Not a fault: this signal type does not apply to this kind of content.
    OTHER_KIND = "other-kind"
    """A perceptual picture hash does not apply to something that is no picture."""

    @property
    def undetermined(self) -> bool:
        """True if a content that lacks a signal for this reason lacks part of its answer."""
        return self is not Reason.OTHER_KIND


@dataclass(frozen=True, slots=True, order=True)
class Signal:
    """One hash of one content, written ``type:value``.

    *value* is in the canonical form of its type (lower-case hex for every built-in type).
    *quality* (0..100) is what the hasher itself says of a perceptual hash; None for digests.
    *variant* says what was hashed if not the content as stored: ``frame:12``, ``rotate90``;
    its last part is ``quick`` if the value may be off the exact one by up to *slack* bits.
    """

    type: str
    value: str
    quality: int | None = None
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.type}:{self.value}"

    @property
    def matchable(self) -> bool:
        """False for a hash that its own hasher calls unreliable; recorded, never asked."""
        return self.quality is None or self.quality >= PDQ_MIN_QUALITY

    @property
    def error_bits(self) -> int:
        """Bits by which the value may be off the exact one; 0 if it is the exact one."""
        quick = self.variant.rpartition("/")[2] == QUICK
        return QUICK_ERROR_BITS.get(self.type, 0) if quick else 0


@dataclass(frozen=True, slots=True)
class FileId:
    """What must be equal for a file on disk to be called unchanged (as in restic and Borg)."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def from_stat(cls, stat: os.stat_result) -> FileId:
        """Take the identity out of a stat result."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Skip:
    """A signal type that was wanted and not computed, and why."""

    type: str
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """All signals of one content, and an account of those that are missing.

    *key* is the SHA-256 of the bytes (64 hex digits), *kind* the sniffed MIME type, *recipe*
    the signal types that were attempted, each with its version (``pdq/1``), so that a later
    run can tell "was not there" from "was not looked for".
    """

    key: str
    size: int
    kind: str
    recipe: tuple[str, ...]
    signals: tuple[Signal, ...]
    skipped: tuple[Skip, ...] = ()
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A matcher's positive answer to one signal.

    *distance* is in bits (0 = equal; None: the matcher does not say, and only it knows its
    threshold); *category* is the matcher's own (``csam``, ...); *list* and *id* are its names
    for where it knows the signal from, empty when it does not say.
    *known_good* marks an entry of a known-good list: it suppresses, it does not accuse.
    """

    matcher: str
    signal: Signal
    distance: int | None
    category: str
    list: str = ""
    id: str = ""
    known_good: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What one matcher said of all the signals of one content that it accepts.

    MATCH carries matches (known-good ones too); UNDETERMINED carries a reason.  NO_MATCH is
    given only if every single signal was answered.  *asked_at* is Unix time in seconds,
    *revision* the matcher's state of knowledge at that moment.
    """

    matcher: str
    outcome: Outcome
    asked_at: float
    revision: str = ""
    matches: tuple[Match, ...] = ()
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one content, from all its answers.

    *suppressed* are matches that a known-good entry (*suppressed_by*) set aside.
    """

    outcome: Outcome
    matches: tuple[Match, ...] = ()
    reason: Reason | None = None
    detail: str = ""
    suppressed: tuple[Match, ...] = ()
    suppressed_by: tuple[Match, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A doctor's remark: what was looked at, whether it is right, and what to do if not."""

    subject: str
    ok: bool
    detail: str
    advice: str = ""


class Action(StrEnum):
    """What is done about one file, from the mildest to the gravest."""

    ALLOW = "allow"
    """Nothing."""
    OBSERVE = "observe"
    """A case is opened and told; the file stays as it is."""
    HOLD = "hold"
    """The file stays where it is and cannot be served."""
    QUARANTINE = "quarantine"
    """The file is sealed away."""

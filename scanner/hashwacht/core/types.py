"""The frozen values of Hashwacht: signals, fingerprints, answers, verdicts.

The vocabulary is that of Meta's ThreatExchange (*signal type*, *signal*, *match*, *distance*); *no
match* is never called clean.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

CONTENT_KEY_TYPE = "sha256"
"""The digest that identifies a content in storage; computed for every content."""

MIN_QUALITY = 50
"""A PDQ hash below this is recorded but not looked up (Meta, pdq/README: discard quality <= 49),
and a 64-bit hash matches only equal values (:mod:`hashwacht.core.hash64`)."""

EQUAL_BELOW_MIN_QUALITY = frozenset({"phash64", "dhash64"})
"""The signal types of which also a hash of poor quality is looked up, for equality."""

QUICK = "quick"
"""Variant of a picture hash that was computed from less than the whole picture."""

QUICK_ERROR_BITS: Mapping[str, int] = MappingProxyType({"pdq": 10, "phash64": 4, "dhash64": 2})
"""By how many bits a quick hash may differ from the exact one, by signal type."""

DECODERS = "decoders"
"""The recipe entry ``decoders/...`` names what could be decoded."""

MEMBERS = "members"
"""The type of a skip, and the recipe entry ``members/...``, for the members of an archive."""

CSAM = "csam"
"""The category of a match whose matcher says: known child sexual abuse material."""


class ArchiveMode(StrEnum):
    """Which members of archives are hashed."""

    ALL = "all"
    PICTURES = "pictures"
    """Those that may be pictures, videos or archives."""
    OFF = "off"
    """None: archives are not opened."""


class Outcome(StrEnum):
    """What is known of a content; there is no fourth outcome."""

    MATCH = "match"
    NO_MATCH = "no-match"
    UNDETERMINED = "undetermined"


class Reason(StrEnum):
    """Why a signal was not computed, or why a verdict is undetermined."""

    # The content could not be read.
    UNREADABLE = "unreadable"
    """The file system refused: permissions, I/O error."""
    CHANGED = "changed-while-read"
    """The file was written to during both attempts to read it."""
    # A signal that could judge this kind of content could not be computed.
    DAMAGED = "damaged"
    """Too damaged to decode: no browser would show a picture either."""
    OVER_LIMIT = "over-limit"
    """More pixels, frames, bytes or memory than the budget allows."""
    ENCRYPTED = "encrypted"
    """An archive with members that cannot be read without a password."""
    OVERLOADED = "overloaded"
    """An upload whose client has sent more than is looked at in time, or that has no room."""
    TIMED_OUT = "timed-out"
    """More processor or wall-clock time than the budget allows."""
    WORKER_DIED = "worker-died"
    """It crashed the process that decoded it."""
    NO_DECODER = "no-decoder"
    """A picture of a kind for which no decoder is installed (HEIC without the extra)."""
    HASHER_FAILED = "hasher-failed"
    """An operator's signal type raised an error or returned an invalid value."""
    # A matcher gave no usable answer.
    UNANSWERED = "unanswered"
    """Unreachable, timed out, reset, overloaded, or an invalid answer."""
    REFUSED = "refused"
    """The service refused the credentials or the request."""
    NOT_JUDGED = "not-judged"
    """No configured matcher accepts any signal that this content has."""
    NEEDS_EXACT_HASH = "close-call"
    """A quick hash is so near an entry of a list that only the exact hash can tell."""
    NOT_COMPUTED = "not-computed"
    """A matcher accepts a signal type that was not yet computed when the content was read."""
    # Not a fault: this signal type does not apply to this kind of content.
    OTHER_KIND = "other-kind"
    """A perceptual picture hash applies to pictures only."""

    @property
    def undetermined(self) -> bool:
        """True if a content that lacks a signal for this reason lacks part of its answer."""
        return self is not Reason.OTHER_KIND


@dataclass(frozen=True, slots=True, order=True)
class Signal:
    """One hash of one content, written ``type:value``.

    *value* is in the canonical form of its type (lower-case hex for every built-in type).
    *quality* (0..100) is how reliable its hasher considers a perceptual hash; None for digests.
    *variant* is what was hashed if not the content as stored: ``frame:12``, ``trim/rotate90`` (see
    :mod:`hashwacht.core.views`); its last part is ``quick`` if the value may differ from the exact
    one in up to *error_bits* bits.
    """

    type: str
    value: str
    quality: int | None = None
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.type}:{self.value}"

    @property
    def matchable(self) -> bool:
        """False for a hash that its hasher considers unreliable: recorded, not looked up."""
        return self.reliable or self.type in EQUAL_BELOW_MIN_QUALITY

    @property
    def reliable(self) -> bool:
        """False for a hash that unrelated pictures may have too: it matches at most if equal."""
        return self.quality is None or self.quality >= MIN_QUALITY

    @property
    def error_bits(self) -> int:
        """In how many bits the value may differ from the exact one; 0 if it is exact."""
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
        """Return the identity in a stat result."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Skip:
    """A signal type that was wanted and not computed, and why."""

    type: str
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """All signals of one content, and the reasons for those that are missing.

    *key* is the SHA-256 of the bytes (64 hex digits), *kind* the sniffed MIME type, *recipe*
    the signal types that were attempted, each with its version (``pdq/1``), so that a later
    run can distinguish "absent" from "not attempted".  *members* are the contents in an archive,
    those of archives in it included; they are recorded as contents of their own.
    """

    key: str
    size: int
    kind: str
    recipe: tuple[str, ...]
    signals: tuple[Signal, ...]
    skipped: tuple[Skip, ...] = ()
    damaged: bool = False
    members: tuple[Member, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Member:
    """A content in an archive.

    *name* is printable and shows the path in the archive, escaped as in
    :mod:`hashwacht.core.paths`; below an archive in the archive, ``inner.zip!/a.jpg``.
    """

    name: str
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class Match:
    """A matcher's positive answer to one signal.

    *distance* is in bits (0 = equal; None: the matcher does not return it, and only it knows its
    threshold); *category* is the matcher's own (``csam``, ...); *list* and *id* are its names for
    the entry, empty if it does not return them.  *known_good* marks an entry of a known-good list,
    which suppresses matches.  *member* names the content in an archive that matched, empty for the
    content itself.
    """

    matcher: str
    signal: Signal
    distance: int | None
    category: str
    list: str = ""
    id: str = ""
    known_good: bool = False
    member: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of one matcher for all signals of one content that it accepts.

    MATCH has matches (known-good ones too); UNDETERMINED has a reason.  NO_MATCH requires that
    every single signal was answered.  *asked_at* is Unix time in seconds, *revision* the version
    of the matcher's knowledge at that time.
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

    *suppressed* are matches that known-good entries (*suppressed_by*) suppress.  *accepted*: a
    person has accepted that it is undetermined for this reason.
    """

    outcome: Outcome
    matches: tuple[Match, ...] = ()
    reason: Reason | None = None
    detail: str = ""
    suppressed: tuple[Match, ...] = ()
    suppressed_by: tuple[Match, ...] = ()
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A finding of ``hashwacht doctor``: what was checked, the result, and advice."""

    subject: str
    ok: bool
    detail: str
    advice: str = ""


class Action(StrEnum):
    """What is done with one file, from the mildest to the most severe."""

    ALLOW = "allow"
    """Nothing."""
    OBSERVE = "observe"
    """A case is opened and alerts are sent; the file stays as it is."""
    HOLD = "hold"
    """The file stays in place and cannot be served."""
    QUARANTINE = "quarantine"
    """The file is moved to the encrypted quarantine."""

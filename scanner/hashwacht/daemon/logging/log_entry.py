"""A log entry made fit to be written: one line, no foreign control characters, no hashes.

A limit for each kind of log entry, so that a flood of one does not drown the others.
"""

from __future__ import annotations

import logging
import re
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from hashwacht.core.events import Event, EventFields
from hashwacht.core.paths import escape_path, to_json

BURST = 20
"""Entries of a kind that may follow one another at once."""

EVERY = 30.0
"""Seconds after which one more is allowed."""

KINDS = 256
"""Kinds that are told apart; whatever comes beyond shares one limit."""

_OTHERS = "others"


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    suppressed: int = 0


class LogRateLimit:
    """A token bucket for each kind.  Thread-safe, bounded in memory."""

    def __init__(self, burst: int = BURST, every: float = EVERY) -> None:
        """Allow *burst* entries of a kind at once, and one more every *every* seconds."""
        self._burst, self._every = burst, every
        self._turn = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, kind: str, now: float) -> int | None:
        """Say how many were left out before this one, which may be written; None: it may not.

        *now* is in seconds on a clock that never goes back.
        """
        with self._turn:
            bucket = self._bucket(kind, now)
            bucket.left = min(self._burst, bucket.left + (now - bucket.at) / self._every)
            bucket.at = now
            if bucket.left < 1:
                bucket.suppressed += 1
                return None
            bucket.left -= 1
            suppressed, bucket.suppressed = bucket.suppressed, 0
            return suppressed

    def _bucket(self, kind: str, now: float) -> _Bucket:
        if kind not in self._buckets and len(self._buckets) >= KINDS:
            self._forget_idle(now)
        if kind not in self._buckets and len(self._buckets) >= KINDS:
            kind = _OTHERS
        return self._buckets.setdefault(kind, _Bucket(self._burst, now))

    def _forget_idle(self, now: float) -> None:
        """Drop the buckets that are full again: a new one would be the same."""
        full = self._burst * self._every
        self._buckets = {
            kind: bucket
            for kind, bucket in self._buckets.items()
            if bucket.suppressed or now - bucket.at < full
        }


LONGEST = 4096
"""Characters of a message or a field."""

_LONGEST_TRACE = 16_384

_HASH = re.compile(r"(?<![\w./\\-])[0-9a-fA-F]{16,}(?![\w/\\-]|\.\w)")
"""A value of a signal; what stands in a path is a name."""

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What is written of one record.  *about* is None for a mere text."""

    message: str
    about: EventFields | None
    trace: str

    @property
    def fields(self) -> Mapping[str, str]:
        """What it is about, by name; a path as :func:`hashwacht.core.paths.show` writes it."""
        if self.about is None:
            return {}
        told = {
            "event": self.about.event.label,
            "root": self.about.root,
            "path": escape_path(self.about.path),
            "case": self.about.case,
            "matcher": self.about.matcher,
            "cause": self.about.cause,
        }
        return {name: _line(value) for name, value in told.items() if value}

    @property
    def json(self) -> Mapping[str, object]:
        """The same with a path that can be read back."""
        path = self.about.path if self.about else b""
        return {**self.fields, **(to_json(path) if path else {})}


def format_record(record: logging.LogRecord, suppressed: int = 0) -> LogEntry:
    """Write a record down; *suppressed* entries of its kind came before it and were not written.

    Never raises: a call of the log that is wrong is written as what it is.
    """
    try:
        text = record.getMessage()
    except (TypeError, ValueError) as error:
        text = f"{record.msg!r} (arguments do not fit: {error})"
    trace = ""
    if record.exc_info and record.exc_info[1] is not None:
        lines = traceback.format_exception(record.exc_info[1])
        inner = "".join(lines)[-_LONGEST_TRACE:].splitlines()
        trace = "\n".join(_line(redact(each)) for each in inner)
        text = f"{text}: {lines[-1].strip()}"
    suffix = f" ({suppressed} more like it were left out)" if suppressed else ""
    told = getattr(record, "about", None)
    return LogEntry(
        _line(redact(text)) + suffix, told if isinstance(told, EventFields) else None, trace
    )


def record_kind(record: logging.LogRecord) -> str:
    """Name the kind of a record: its event, else the text before anything is put into it."""
    told = getattr(record, "about", None)
    if isinstance(told, EventFields) and isinstance(told.event, Event):
        return told.event.label
    return f"{record.name}:{str(record.msg)[:80]}"


def redact(text: str) -> str:
    """Cut every value of a hash down to its first digits; lists and matches are secrets."""
    return _HASH.sub(lambda found: f"{found[0][:_SHOWN]}…", text)


def _line(text: str) -> str:
    """Escape what a terminal or a log would obey, and cut what is too long."""
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    if cut.isprintable():
        return cut
    return "".join(each if each.isprintable() else _escaped(each) for each in cut)


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))

"""Log entries: one printable line each, with hashes redacted, and a rate limit for each kind."""

from __future__ import annotations

import logging
import re
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from hashwacht.core.events import Event, EventFields
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import escape_text, truncate

BURST = 20
"""Entries of one kind that are written without delay."""

REFILL_SECONDS = 30.0
"""Seconds after which one more entry of a kind is allowed."""

MAX_KINDS = 256
"""Kinds with a limit of their own; all others share one."""

MAX_CHARS = 4096
"""Characters of a message or a field."""

_MAX_TRACE_CHARS = 16_384

_HASH = re.compile(r"(?<![\w./\\-])[0-9a-fA-F]{16,}(?![\w/\\-]|\.\w)")
"""A signal's value.  Digits within a path are part of a file name and stay."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    suppressed: int = 0


class LogRateLimit:
    """One token bucket for each kind of entry.  Thread-safe, bounded in memory."""

    def __init__(self, burst: int = BURST, refill_seconds: float = REFILL_SECONDS) -> None:
        """Allow *burst* entries of a kind at once, and one more every *refill_seconds*."""
        self._burst, self._refill_seconds = burst, refill_seconds
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, kind: str, now: float) -> int | None:
        """Return how many entries were suppressed before this one; None if it is suppressed.

        *now* is monotonic time in seconds.
        """
        with self._lock:
            bucket = self._bucket(kind, now)
            refilled = bucket.tokens + (now - bucket.at) / self._refill_seconds
            bucket.tokens, bucket.at = min(self._burst, refilled), now
            if bucket.tokens < 1:
                bucket.suppressed += 1
                return None
            bucket.tokens -= 1
            suppressed, bucket.suppressed = bucket.suppressed, 0
            return suppressed

    def _bucket(self, kind: str, now: float) -> _Bucket:
        if kind not in self._buckets and len(self._buckets) >= MAX_KINDS:
            refill_time = self._burst * self._refill_seconds
            self._buckets = {  # one that has refilled is dropped: a new one would be the same
                name: bucket
                for name, bucket in self._buckets.items()
                if bucket.suppressed or now - bucket.at < refill_time
            }
        if kind not in self._buckets and len(self._buckets) >= MAX_KINDS:
            kind = "others"
        return self._buckets.setdefault(kind, _Bucket(self._burst, now))


@dataclass(frozen=True, slots=True)
class LogEntry:
    """The printable form of a log record.  *about* is None for a record without an event."""

    message: str
    about: EventFields | None
    trace: str

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields of the event by name, the path escaped."""
        if self.about is None:
            return {}
        fields = {
            "event": self.about.event.label,
            "root": self.about.root,
            "path": escape_path(self.about.path),
            "case": self.about.case,
            "matcher": self.about.matcher,
            "cause": self.about.cause,
        }
        return {name: _line(value) for name, value in fields.items() if value}

    @property
    def json(self) -> Mapping[str, object]:
        """The same fields, with the path in a form that can be read back."""
        path = self.about.path if self.about else b""
        return {**self.fields, **(to_json(path) if path else {})}


def format_record(record: logging.LogRecord, suppressed: int = 0) -> LogEntry:
    """Return a record's printable form, noting *suppressed* earlier entries of its kind.

    Never raises: arguments that do not fit the message are reported in the message.
    """
    try:
        text = record.getMessage()
    except (TypeError, ValueError) as error:
        text = f"{record.msg!r} (arguments do not fit: {error})"
    trace = ""
    if record.exc_info and record.exc_info[1] is not None:
        lines = traceback.format_exception(record.exc_info[1])
        innermost = "".join(lines)[-_MAX_TRACE_CHARS:].splitlines()
        trace = "\n".join(_line(redact_hashes(line)) for line in innermost)
        text = f"{text}: {lines[-1].strip()}"
    suffix = f" ({suppressed} similar entries suppressed)" if suppressed else ""
    return LogEntry(_line(redact_hashes(text)) + suffix, _event_fields(record), trace)


def record_kind(record: logging.LogRecord) -> str:
    """Return the kind of a record: its event, else its logger and unformatted message."""
    about = _event_fields(record)
    if about is not None and isinstance(about.event, Event):
        return about.event.label
    return f"{record.name}:{str(record.msg)[:80]}"


def redact_hashes(text: str) -> str:
    """Return *text* with every hash cut to its first digits: lists and matches are secrets."""
    return _HASH.sub(lambda match: f"{match[0][:8]}…", text)


def _event_fields(record: logging.LogRecord) -> EventFields | None:
    about = getattr(record, "about", None)
    return about if isinstance(about, EventFields) else None


def _line(text: str) -> str:
    """Return *text* cut to one line's length, with everything unprintable escaped."""
    return escape_text(truncate(text, MAX_CHARS + 1))

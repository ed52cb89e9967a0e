"""Log output of the daemon's processes: the systemd journal with fields, or lines on stderr.

Journal entries use its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram an
entry; a field is ``NAME=value`` and a line feed, or, for a value with line feeds, ``NAME``, a line
feed, the length in eight bytes (little endian), the value and a line feed.

An entry is one printable line with hashes redacted.  Each kind of entry has a rate limit, except
matches: all of them are written.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from hashwacht.core.events import Event, EventFields
from hashwacht.core.paths import escape_path, to_json
from hashwacht.core.text import escape_text, json_line, truncate

BURST = 20
"""Entries of one kind that are written without delay."""

REFILL_SECONDS = 30.0
"""Seconds after which one more entry of a kind is allowed."""

MAX_KINDS = 256
"""Kinds with a limit of their own; all others share one."""

MAX_CHARS = 4096
"""Characters of a message or a field."""

UNLIMITED = Event.MATCH.label
"""The kind of which every entry is written: a log that leaves out matches is no record of them."""

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
        innermost = "".join(lines)[-16_384:].splitlines()
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


JSON_VERSION = 1
JOURNAL_SOCKET = "/run/systemd/journal/socket"

_PRIORITY = {logging.CRITICAL: "2", logging.ERROR: "3", logging.WARNING: "4", logging.INFO: "6"}


class LineWriter:
    """Lines of text on a stream, or one JSON object a line."""

    def __init__(self, identifier: str, stream: IO[str], *, as_json: bool = False) -> None:
        self._identifier, self._stream, self._as_json = identifier, stream, as_json

    def write(self, record: logging.LogRecord, entry: LogEntry) -> None:
        """Write one entry and flush the stream."""
        text = self._json(record, entry) if self._as_json else self._text(record, entry)
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def _text(self, record: logging.LogRecord, entry: LogEntry) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in entry.fields.items())
        head = f"{at} {self._identifier} {record.levelname.lower()}: {entry.message}{fields}"
        return f"{head}\n{entry.trace}" if entry.trace else head

    def _json(self, record: logging.LogRecord, entry: LogEntry) -> str:
        fields: dict[str, object] = {
            "v": JSON_VERSION,
            "type": "log",
            "at": record.created,
            "level": record.levelname.lower(),
            "process": self._identifier,
            "message": entry.message,
            **entry.json,
        }
        if entry.trace:
            fields["trace"] = entry.trace
        return json_line(fields)


class JournaldWriter:
    """The journal's socket.  Thread-safe: an entry is one datagram."""

    def __init__(self, identifier: str, address: str = JOURNAL_SOCKET) -> None:
        """Connect to the journal.  Raises OSError if there is none."""
        self._identifier = identifier
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    def write(self, record: logging.LogRecord, entry: LogEntry) -> None:
        """Send one entry.  Raises OSError."""
        self._socket.send(encode_fields(self._fields(record, entry)))

    def _fields(self, record: logging.LogRecord, entry: LogEntry) -> Iterable[tuple[str, str]]:
        yield "MESSAGE", entry.message
        yield "PRIORITY", priority(record.levelno)
        yield "SYSLOG_IDENTIFIER", self._identifier
        if entry.about is not None:
            yield "MESSAGE_ID", entry.about.event.value
        for name, value in entry.fields.items():
            yield f"HASHWACHT_{name.upper()}", value
        yield "CODE_FILE", record.pathname
        yield "CODE_LINE", str(record.lineno)
        yield "CODE_FUNC", record.funcName or ""
        yield "LOGGER", record.name
        yield "THREAD_NAME", record.threadName or ""
        if entry.trace:
            yield "EXCEPTION", entry.trace

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def encode_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return fields as one journal datagram; a value may hold any text."""
    datagram = b""
    for name, text in fields:
        value = text.encode("utf-8", "replace")
        separator = b"\n" + struct.pack("<Q", len(value)) if b"\n" in value else b"="
        datagram += name.encode("ascii") + separator + value + b"\n"
    return datagram


def priority(level: int) -> str:
    """Return the severity of syslog(3) for a level of the logging module."""
    return next((name for minimum, name in _PRIORITY.items() if level >= minimum), "7")


def stderr_is_journal(environ: Mapping[str, str]) -> bool:
    """Return whether stderr is connected to the journal (``$JOURNAL_STREAM``, systemd.exec(5))."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


LogDestination = LineWriter | JournaldWriter


class LogHandler(logging.Handler):
    """Writes the records that the rate limit admits; a failing destination is ignored."""

    def __init__(self, destination: LogDestination, limit: LogRateLimit) -> None:
        super().__init__()
        self._destination, self._limit = destination, limit

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, unless its kind has used up its limit."""
        kind = record_kind(record)
        suppressed = 0 if kind == UNLIMITED else self._limit.admit(kind, time.monotonic())
        if suppressed is None:
            return
        try:
            self._destination.write(record, format_record(record, suppressed))
        except (OSError, ValueError):  # gone, full, or closed at interpreter exit
            return


def configure_logging(
    identifier: str, environ: Mapping[str, str], *, verbose: bool = False, as_json: bool = False
) -> LogHandler:
    """Send this process's log records to the journal, or to stderr if that is not the journal.

    *identifier* names the process: ``hashwacht-scanner``.  Third-party libraries log from level
    warning only: at lower levels some of them log the URLs they request.
    """
    destination: LogDestination = LineWriter(identifier, sys.stderr, as_json=as_json)
    if stderr_is_journal(environ):
        with suppress(OSError):  # stderr reaches the journal as well, without fields
            destination = JournaldWriter(identifier)
    handler = LogHandler(destination, LogRateLimit())
    root = logging.getLogger()
    for former in [former for former in root.handlers if isinstance(former, LogHandler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("hashwacht").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.captureWarnings(capture=True)
    return handler

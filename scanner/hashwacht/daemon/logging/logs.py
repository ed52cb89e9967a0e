"""The log of the daemon's processes: to the journal with fields, else lines on standard error."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Protocol

from hashwacht.daemon.logging.journald import JournaldWriter, stderr_is_journal
from hashwacht.daemon.logging.log_entry import LogEntry, LogRateLimit, format_record, record_kind

JSON_VERSION = 1


class LogDestination(Protocol):
    """Where entries go."""

    def write(self, record: logging.LogRecord, entry: LogEntry) -> None:
        """Write one entry.  Raises OSError."""


class LineWriter:
    """Lines of text on a stream, or one JSON object a line."""

    def __init__(self, identifier: str, stream: IO[str], *, as_json: bool = False) -> None:
        """Write to *stream* as *identifier*."""
        self._identifier, self._stream, self._as_json = identifier, stream, as_json

    def write(self, record: logging.LogRecord, entry: LogEntry) -> None:
        """Write one entry and see that it leaves this process at once."""
        text = self._json(record, entry) if self._as_json else self._text(record, entry)
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def _text(self, record: logging.LogRecord, entry: LogEntry) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        about = "".join(f" {name}={value}" for name, value in entry.fields.items())
        head = f"{at} {self._identifier} {record.levelname.lower()}: {entry.message}{about}"
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
        return json.dumps(fields, ensure_ascii=False)


class LogHandler(logging.Handler):
    """Writes what its limit admits; a destination that fails is no reason to fail as well."""

    def __init__(self, destination: LogDestination, limit: LogRateLimit) -> None:
        """Write to *destination*."""
        super().__init__()
        self._destination, self._limit = destination, limit

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, if its kind has not had its share."""
        left_out = self._limit.admit(record_kind(record), time.monotonic())
        if left_out is None:
            return
        try:
            self._destination.write(record, format_record(record, left_out))
        except (OSError, ValueError):  # gone, full, or closed at the end of the program
            return


def configure_logging(
    identifier: str, environ: Mapping[str, str], *, verbose: bool = False, as_json: bool = False
) -> LogHandler:
    """Send everything that this process logs to where its starter looks for it.

    *identifier* names the process: ``hashwacht-scanner``.  Of other people's libraries only
    warnings are written: at lower levels some of them write the addresses they ask.
    """
    handler = LogHandler(_destination(identifier, environ, as_json), LogRateLimit())
    top = logging.getLogger()
    for former in [each for each in top.handlers if isinstance(each, LogHandler)]:
        top.removeHandler(former)
    top.addHandler(handler)
    top.setLevel(logging.WARNING)
    logging.getLogger("hashwacht").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.captureWarnings(capture=True)
    return handler


def _destination(identifier: str, environ: Mapping[str, str], as_json: bool) -> LogDestination:
    if stderr_is_journal(environ):
        try:
            return JournaldWriter(identifier)
        except OSError:
            pass  # standard error leads there too, if without fields
    return LineWriter(identifier, sys.stderr, as_json=as_json)

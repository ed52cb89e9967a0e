"""Log entries with fields, in the journal's native protocol.

systemd.io/JOURNAL_NATIVE_PROTOCOL: one datagram for each entry; a field is ``NAME=value`` and a
line end, or, if the value has several lines, ``NAME``, a line end, the length in eight bytes
(little endian), the value and a line end.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterable, Mapping

from hashwacht.daemon.logging.log_entry import LogEntry

SOCKET = "/run/systemd/journal/socket"

_PRIORITY = ((logging.CRITICAL, "2"), (logging.ERROR, "3"), (logging.WARNING, "4"))
_INFO, _DEBUG = "6", "7"


def stderr_is_journal(environ: Mapping[str, str]) -> bool:
    """Tell if standard error goes to the journal (``$JOURNAL_STREAM``, systemd.exec(5))."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


class JournaldWriter:
    """The journal's socket.  Thread-safe: an entry is one datagram."""

    def __init__(self, identifier: str, address: str = SOCKET) -> None:
        """Write as *identifier*.  Raises OSError if there is no journal."""
        self._identifier = identifier
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    def write(self, record: logging.LogRecord, entry: LogEntry) -> None:
        """Send one entry.  Raises OSError."""
        self._socket.send(encode(self._fields(record, entry)))

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
        """Write no more."""
        self._socket.close()


def encode(fields: Iterable[tuple[str, str]]) -> bytes:
    """Write fields as a datagram; a value may hold anything."""
    return b"".join(
        _field(name.encode("ascii"), value.encode("utf-8", "replace")) for name, value in fields
    )


def _field(name: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return name + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name + b"=" + value + b"\n"


def priority(level: int) -> str:
    """Give syslog's severity (syslog(3)) of a level of the standard library."""
    for least, severity in _PRIORITY:
        if level >= least:
            return severity
    return _INFO if level >= logging.INFO else _DEBUG

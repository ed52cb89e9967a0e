"""A log entry made fit to be written: one line, no foreign control characters, no hashes."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from hashwacht.core.events import About, Event
from hashwacht.core.paths import show, to_json

LONGEST = 4096
"""Characters of a message or a field."""

_LONGEST_TRACE = 16_384

_HASH = re.compile(r"(?<![\w./\\-])[0-9a-fA-F]{16,}(?![\w/\\-]|\.\w)")
"""A value of a signal; what stands in a path is a name."""

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written of one record.  *about* is None for a mere text."""

    message: str
    about: About | None
    trace: str

    @property
    def fields(self) -> Mapping[str, str]:
        """What it is about, by name; a path as :func:`hashwacht.core.paths.show` writes it."""
        if self.about is None:
            return {}
        told = {
            "event": self.about.event.label,
            "root": self.about.root,
            "path": show(self.about.path),
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


def entry(record: logging.LogRecord, left_out: int = 0) -> Entry:
    """Write a record down; *left_out* entries of its kind came before it and were not written.

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
        trace = "\n".join(_line(redacted(each)) for each in inner)
        text = f"{text}: {lines[-1].strip()}"
    suffix = f" ({left_out} more like it were left out)" if left_out else ""
    told = getattr(record, "about", None)
    return Entry(_line(redacted(text)) + suffix, told if isinstance(told, About) else None, trace)


def kind(record: logging.LogRecord) -> str:
    """Name the kind of a record: its event, else the text before anything is put into it."""
    told = getattr(record, "about", None)
    if isinstance(told, About) and isinstance(told.event, Event):
        return told.event.label
    return f"{record.name}:{str(record.msg)[:80]}"


def redacted(text: str) -> str:
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

"""The commands of clamd 1.4, and what may follow each of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Word(Enum):
    """A command; its value is what a client sends."""

    SCAN = b"SCAN"
    QUIT = b"QUIT"
    RELOAD = b"RELOAD"
    PING = b"PING"
    CONTSCAN = b"CONTSCAN"
    VERSIONCOMMANDS = b"VERSIONCOMMANDS"
    VERSION = b"VERSION"
    END = b"END"
    SHUTDOWN = b"SHUTDOWN"
    MULTISCAN = b"MULTISCAN"
    FILDES = b"FILDES"
    STATS = b"STATS"
    IDSESSION = b"IDSESSION"
    INSTREAM = b"INSTREAM"
    DETSTATSCLEAR = b"DETSTATSCLEAR"
    DETSTATS = b"DETSTATS"
    ALLMATCHSCAN = b"ALLMATCHSCAN"


PATH_WORDS = frozenset({Word.SCAN, Word.CONTSCAN, Word.MULTISCAN, Word.ALLMATCHSCAN})
"""The commands with an argument: a path."""

SESSION_WORDS = frozenset(
    {
        Word.SCAN,
        Word.FILDES,
        Word.INSTREAM,
        Word.VERSION,
        Word.PING,
        Word.STATS,
        Word.VERSIONCOMMANDS,
        Word.END,
    }
)
"""What is permitted in a session."""

_ONLY_DELIMITED = frozenset(
    {
        Word.VERSIONCOMMANDS,
        Word.END,
        Word.STATS,
        Word.IDSESSION,
        Word.INSTREAM,
        Word.ALLMATCHSCAN,
    }
)
"""Not known to clamd without the prefix n or z."""

_BY_LENGTH = sorted(Word, key=lambda word: -len(word.value))
"""Longer ones first, since some begin with another one."""

LISTED = b" ".join(word.value for word in Word)
"""All commands as VERSIONCOMMANDS lists them."""


def parse_command(line: bytes, *, delimited: bool) -> tuple[Word, bytes] | None:
    """Return command and argument of a line without its prefix; None if clamd knows no such.

    One byte of any value separates them, as in clamd.
    """
    for word in _BY_LENGTH:
        if not line.startswith(word.value):
            continue
        rest = line[len(word.value) :]
        if bool(rest) != (word in PATH_WORDS) or not (delimited or word not in _ONLY_DELIMITED):
            return None
        return word, rest[1:]
    return None


@dataclass(frozen=True, slots=True)
class ReplyForm:
    """How the reply to one command is written: its number in a session, or 0, and its end."""

    number: int
    terminator: bytes

    def line(self, text: bytes) -> bytes:
        """Return one line of a reply."""
        if self.number:
            return b"%d: %s%s" % (self.number, text, self.terminator)
        return text + self.terminator

"""Following the chain of the audit log from line to line."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from hashwacht.audit.entry import GENESIS_HASH, JSON, decode_entry, parse_link

TORN = "torn"
"""The act of an entry that tells of part of a line before it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The newest entry at some time: *seq* 0 if there was none."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first line (counted from 1) at which the chain does not hold, and what is wrong."""

    line: int
    problem: str


class ChainVerifier:
    """Goes from line to line.  *suspect* is the line that a problem is at."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Begin before the first line; the entry of *checkpoint* must come as it was."""
        self._checkpoint = checkpoint
        self._last = Checkpoint(0, GENESIS_HASH)
        self._line = 0
        self._junk = _Junk()
        self.suspect = 0

    def follow(self, line: bytes) -> str | None:
        """Take the next line; say what is wrong."""
        found = parse_link(line)
        if found is None:
            if not self._junk.size:
                self.suspect = self._line + 1
            self._junk.add(line)
            self._line += line.endswith(b"\n")
            return None
        if self._junk.size:
            if not self._junk.told_by(line):
                return "is no entry, and the next one does not say that a crash has left it"
            self._junk = _Junk()
        self._line += 1
        self.suspect = self._line
        if not found.genuine:
            return f"entry {found.seq} is not as it was written: its hash is another one"
        if found.seq != self._last.seq + 1 or found.prev != self._last.hash:
            return f"entry {found.seq} does not follow entry {self._last.seq}"
        self._last = Checkpoint(found.seq, found.hash)
        if found.seq == self._checkpoint.seq and found.hash != self._checkpoint.hash:
            return f"entry {found.seq} is not the one of the checkpoint"
        return None

    def end(self) -> str | None:
        """Say what is wrong when no line is left."""
        if self._junk.size:
            return "is no whole entry: a crash has left it, or somebody has cut it"
        self.suspect = self._line + 1
        if self._last.seq < self._checkpoint.seq:
            first, last = self._last.seq + 1, self._checkpoint.seq
            return f"entries {first} to {last} of the checkpoint are not there any more"
        return None


class _Junk:
    """What stands between two entries and is none."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = sha256()

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self._hash.update(piece)

    def told_by(self, line: bytes) -> bool:
        """Say if an entry tells of exactly this."""
        entry = decode_entry(line)
        told = {"bytes": self.size, "sha256": self._hash.hexdigest()}
        return entry is not None and entry.act == TORN and entry.facts == told


def describe_junk(junk: bytes) -> dict[str, JSON]:
    """Describe junk, the line feed at its end included."""
    return {"bytes": len(junk), "sha256": sha256(junk).hexdigest()}

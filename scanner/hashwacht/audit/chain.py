r"""The hash chain of the audit log: the encoding of an entry, and the check from line to line.

A line is one JSON object in ASCII, ended by a line feed, with its keys in this order::

    {"v":1,"seq":7,"at":"...","who":"...","act":"...","facts":{...},"prev":"...","hash":"..."}

*hash* is the SHA-256 of the same line without its last member, that is of the bytes
``{"v":1,...,"prev":"..."}``; *prev* is the hash of the previous entry, 64 zeros in the first one.
A shell can check a line: ``sed 's/,"hash":"[0-9a-f]*"}$/}/' | tr -d '\n' | sha256sum``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

JSON = None | bool | int | float | str | list["JSON"] | Mapping[str, "JSON"]
"""The values that the facts of an entry may hold."""

GENESIS_HASH = "0" * 64
"""The *prev* of the first entry."""

MAX_LINE_BYTES = 256 * 1024
"""Bytes of a line, its line feed included."""

PREFIX_LENGTH = 13
"""Hexadecimal digits of a hash that identify an entry: 52 bits, exact in a number of a metric."""

TORN = "torn"
"""The act of an entry that describes a partial line before it."""

_MAX_TEXT_CHARS = 16 * 1024
"""Characters of one text among the facts: a path can be of any length."""

_FORM = re.compile(
    rb'\{"v":1,"seq":([1-9][0-9]{0,17}),"at":"[^"]*","who":".*,'
    rb'"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n'
)
_CHECKPOINT = re.compile(
    rf'(?<![0-9a-f])([0-9]{{1,18}})(?:"?,\s*"hash":\s*"|:)([0-9a-f]{{{PREFIX_LENGTH},64}})(?![0-9a-f])'
)
_TAIL = len(',"hash":""}\n') + 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act: *at* is ISO 8601 with zone, *who* a user of this machine or a part of Hashwacht."""

    seq: int
    at: str
    who: str
    act: str
    facts: Mapping[str, JSON] = field(default_factory=dict)
    prev: str = GENESIS_HASH
    hash: str = ""


@dataclass(frozen=True, slots=True)
class ChainLink:
    """The position of a line in the chain; *genuine* if its hash is that of its bytes."""

    seq: int
    prev: str
    hash: str
    genuine: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The newest entry at some time; *seq* is 0 if there was none.

    *hash* may be the beginning of the hash only, as the metrics have it.
    """

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def find_last(cls, text: str) -> Checkpoint | None:
        """Return the last checkpoint in a text, such as an alert; None if there is none.

        Its forms are those of ``__str__`` and of JSON: ``"seq": 7, "hash": "..."``.
        """
        matches = [*_CHECKPOINT.finditer(text)]
        return cls(int(matches[-1][1]), matches[-1][2]) if matches else None


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first line (counted from 1) at which the chain does not hold, and the problem."""

    line: int
    problem: str


def encode_entry(entry: AuditEntry) -> bytes:
    """Return an entry as its line; its *hash* is computed, whatever the field holds."""
    facts = _truncated(entry.facts)
    if len(body := _body(entry, facts)) > MAX_LINE_BYTES - _TAIL:
        digest = sha256(_canonical(facts).encode()).hexdigest()
        body = _body(entry, {"left_out": "too long", "sha256": digest})
    return body[:-1] + b',"hash":"' + sha256(body).hexdigest().encode() + b'"}\n'


def decode_entry(line: bytes) -> AuditEntry | None:
    """Return the entry of a line; None if it is not one.  Its hash is not checked."""
    if _FORM.fullmatch(line) is None:
        return None
    try:
        fields = json.loads(line)
        del fields["v"]
        return AuditEntry(**fields)
    except (ValueError, TypeError, RecursionError):
        return None


def parse_link(line: bytes) -> ChainLink | None:
    """Return the position of a line in the chain; None if it is not an entry."""
    match = _FORM.fullmatch(line)
    if match is None or not line.isascii():
        return None
    body = line[:-_TAIL] + b"}"
    stated = match[3].decode()
    return ChainLink(int(match[1]), match[2].decode(), stated, sha256(body).hexdigest() == stated)


def describe_junk(junk: bytes) -> dict[str, JSON]:
    """Return the facts of a ``torn`` entry about *junk*, its final line feed included."""
    return {"bytes": len(junk), "sha256": sha256(junk).hexdigest()}


class ChainVerifier:
    """Checks a chain line by line.  *suspect* is the line of the last problem."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Start before the first line; the entry of *checkpoint* must be found unchanged."""
        self._checkpoint, self._last = checkpoint, Checkpoint(0, GENESIS_HASH)
        self._junk_bytes, self._junk_hash = 0, sha256()
        self._line = self.suspect = 0

    def check_line(self, line: bytes) -> str | None:
        """Check the next line and return the problem, if there is one."""
        link = parse_link(line)
        if link is None:
            self._add_junk(line)
            return None
        if self._junk_bytes:
            if not self._describes_junk(line):
                return "is not an entry, and the next entry does not report it as left by a crash"
            self._junk_bytes, self._junk_hash = 0, sha256()
        self._line += 1
        self.suspect = self._line
        return self._check_link(link)

    def _check_link(self, link: ChainLink) -> str | None:
        if not link.genuine:
            return f"entry {link.seq} was changed: its hash does not match its content"
        if link.seq != self._last.seq + 1 or link.prev != self._last.hash:
            return f"entry {link.seq} does not follow entry {self._last.seq}"
        self._last = Checkpoint(link.seq, link.hash)
        is_checkpoint = link.seq == self._checkpoint.seq
        if is_checkpoint and not link.hash.startswith(self._checkpoint.hash):
            return f"entry {link.seq} differs from the checkpoint"
        return None

    def check_end(self) -> str | None:
        """Return the problem with the end of the log, if there is one."""
        if self._junk_bytes:
            return "is not a complete entry: a crash left it, or it was cut"
        self.suspect = self._line + 1
        if self._last.seq < self._checkpoint.seq:
            first, last = self._last.seq + 1, self._checkpoint.seq
            return f"entries {first} to {last} of the checkpoint are missing"
        return None

    def _add_junk(self, line: bytes) -> None:
        if not self._junk_bytes:
            self.suspect = self._line + 1
        self._junk_bytes += len(line)
        self._junk_hash.update(line)
        self._line += line.endswith(b"\n")

    def _describes_junk(self, line: bytes) -> bool:
        entry = decode_entry(line)
        facts = {"bytes": self._junk_bytes, "sha256": self._junk_hash.hexdigest()}
        return entry is not None and entry.act == TORN and entry.facts == facts


def _body(entry: AuditEntry, facts: JSON) -> bytes:
    who, act = entry.who[:_MAX_TEXT_CHARS], entry.act[:_MAX_TEXT_CHARS]
    fields: dict[str, JSON] = {"v": 1, "seq": entry.seq, "at": entry.at, "who": who, "act": act}
    return _canonical({**fields, "facts": facts, "prev": entry.prev}).encode()


def _canonical(value: JSON) -> str:
    """Return compact ASCII JSON: lone surrogates survive, line feeds are escaped."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _truncated(value: JSON) -> JSON:
    """Return *value* with overlong texts cut: their length is under an uploader's control."""
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT_CHARS else value[:_MAX_TEXT_CHARS] + "…"
    if isinstance(value, Mapping):
        return {str(name): _truncated(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_truncated(item) for item in value]
    return value

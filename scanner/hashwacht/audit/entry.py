r"""One line of the audit log: how it is written, and what makes it part of the chain.

A line is one JSON object in ASCII, ended by a line feed, with its keys in this order::

    {"v":1,"seq":7,"at":"...","who":"...","act":"...","facts":{...},"prev":"...","hash":"..."}

*hash* is the SHA-256 of the same line without its last member, that is of the bytes
``{"v":1,...,"prev":"..."}``; *prev* is the hash of the entry before, 64 zeros in the first one.
So anybody can check the chain with a shell: ``sed 's/,"hash":"[0-9a-f]*"}$/}/' | sha256sum``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

JSON = None | bool | int | float | str | list["JSON"] | Mapping[str, "JSON"]
"""What facts may hold."""

GENESIS_HASH = "0" * 64
"""The *prev* of the first entry."""

MAX_LINE_BYTES = 256 * 1024
"""Bytes of a line at the most, its line feed included."""

_LONGEST_TEXT = 16 * 1024
"""Characters of one text among the facts: a path may be of any length."""

_FORM = re.compile(
    rb'\{"v":1,"seq":([1-9][0-9]{0,17}),"at":"[^"]*","who":".*,'
    rb'"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n'
)
_TAIL = len(',"hash":""}\n') + 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act: *at* is ISO 8601 with zone, *who* a user of this machine or a part of ours."""

    seq: int
    at: str
    who: str
    act: str
    facts: Mapping[str, JSON] = field(default_factory=dict)
    prev: str = GENESIS_HASH
    hash: str = ""


@dataclass(frozen=True, slots=True)
class ChainLink:
    """What a line says of its place in the chain, and whether its bytes bear it out."""

    seq: int
    prev: str
    hash: str
    genuine: bool


def write(entry: AuditEntry) -> bytes:
    """Write an entry as its line; its own *hash* is computed, whatever it says."""
    facts = _bounded(entry.facts)
    if len(body := _body(entry, facts)) > MAX_LINE_BYTES - _TAIL:
        digest = sha256(_canonical(facts).encode()).hexdigest()
        body = _body(entry, {"left_out": "too long", "sha256": digest})
    return body[:-1] + b',"hash":"' + sha256(body).hexdigest().encode() + b'"}\n'


def parse_link(line: bytes) -> ChainLink | None:
    """Read the place of a line in the chain; None if it has not the form of an entry."""
    found = _FORM.fullmatch(line)
    if found is None or not line.isascii():
        return None
    body = line[:-_TAIL] + b"}"
    stated = found[3].decode()
    return ChainLink(int(found[1]), found[2].decode(), stated, sha256(body).hexdigest() == stated)


def decode_entry(line: bytes) -> AuditEntry | None:
    """Read a line; None if it is no entry.  Its hash is not checked."""
    if _FORM.fullmatch(line) is None:
        return None
    try:
        fields = json.loads(line)
        del fields["v"]
        return AuditEntry(**fields)
    except (ValueError, TypeError, RecursionError):
        return None


def _body(entry: AuditEntry, facts: JSON) -> bytes:
    fields: dict[str, JSON] = {
        "v": 1,
        "seq": entry.seq,
        "at": entry.at,
        "who": entry.who[:_LONGEST_TEXT],
        "act": entry.act[:_LONGEST_TEXT],
        "facts": facts,
        "prev": entry.prev,
    }
    return _canonical(fields).encode()


def _canonical(value: JSON) -> str:
    """Write JSON without blanks and in ASCII: lone surrogates survive, line feeds cannot."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def _bounded(value: JSON) -> JSON:
    """Cut texts that a stranger could make endless."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else value[:_LONGEST_TEXT] + "…"
    if isinstance(value, Mapping):
        return {str(name): _bounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(each) for each in value]
    return value

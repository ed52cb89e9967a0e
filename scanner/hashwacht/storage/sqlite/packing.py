"""Signals and skips of one content as one compact blob.

A row per signal would cost about three times the space and six times the inserts, and nobody
asks for a single signal: a matcher is always asked about all signals of a content.

A blob is a sequence of entries.  Numbers are LEB128 varints (DWARF 5, section 7.6); types,
variants and reasons are numbers of the ``words`` table.  A value is its bytes after
``length * 4 + form``:

========  ==============================================================
signal    type, variant, quality + 1 (0: none), value
skip      type, reason, value (the detail)
form      0 text in UTF-8, 1 lower-case hexadecimal, 2 the content's key
========  ==============================================================
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from hashwacht.storage.sqlite.dictionary import Dictionary
from hashwacht.core.types import Reason, Signal, Skip

_TEXT, _HEX, _KEY = range(3)
_HEX_DIGITS = frozenset("0123456789abcdef")


class Packer:
    """Writes and reads the blobs with the numbers of one database's words."""

    def __init__(self, words: Dictionary) -> None:
        self._words = words

    def signals(self, writer: sqlite3.Connection, signals: Iterable[Signal], key: str) -> bytes:
        """Pack signals; a value equal to *key* takes no space.  Inside a transaction."""
        blob = bytearray()
        for signal in signals:
            _put_number(blob, self._words.number(writer, signal.type))
            _put_number(blob, self._words.number(writer, signal.variant))
            _put_number(blob, 0 if signal.quality is None else signal.quality + 1)
            _put_value(blob, signal.value, key)
        return bytes(blob)

    def skips(self, writer: sqlite3.Connection, skips: Iterable[Skip]) -> bytes | None:
        """Pack skips; None for none.  Inside a transaction."""
        blob = bytearray()
        for skip in skips:
            _put_number(blob, self._words.number(writer, skip.type))
            _put_number(blob, self._words.number(writer, skip.reason))
            _put_value(blob, skip.detail)
        return bytes(blob) or None

    def read_signals(
        self, connection: sqlite3.Connection, blob: bytes, key: str
    ) -> tuple[Signal, ...]:
        """Undo signals()."""
        entries, found = _Entries(blob), []
        while entries.left:
            name = self._words.text(connection, entries.number())
            variant = self._words.text(connection, entries.number())
            quality = entries.number() - 1
            value = entries.value(key)
            found.append(Signal(name, value, None if quality < 0 else quality, variant))
        return tuple(found)

    def read_skips(self, connection: sqlite3.Connection, blob: bytes | None) -> tuple[Skip, ...]:
        """Undo skips()."""
        entries, found = _Entries(blob or b""), []
        while entries.left:
            name = self._words.text(connection, entries.number())
            reason = Reason(self._words.text(connection, entries.number()))
            found.append(Skip(name, reason, entries.value()))
        return tuple(found)


class _Entries:
    """Reads a blob from its beginning to its end."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._at = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._blob)

    def number(self) -> int:
        number = shift = 0
        while True:
            byte = self._blob[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004  # the continuation bit of a varint
                return number
            shift += 7

    def value(self, key: str = "") -> str:
        length, form = divmod(self.number(), 4)
        if form == _KEY:
            return key
        raw = self._blob[self._at : self._at + length]
        self._at += length
        return raw.hex() if form == _HEX else raw.decode("utf-8", "surrogatepass")


def _put_number(blob: bytearray, number: int) -> None:
    while number > 0x7F:  # noqa: PLR2004  # seven bits a byte
        blob.append(number & 0x7F | 0x80)
        number >>= 7
    blob.append(number)


def _put_value(blob: bytearray, value: str, key: str = "") -> None:
    if key and value == key:
        _put_number(blob, _KEY)
        return
    if len(value) % 2 == 0 and _HEX_DIGITS.issuperset(value):
        raw, form = bytes.fromhex(value), _HEX
    else:
        raw, form = value.encode("utf-8", "surrogatepass"), _TEXT
    _put_number(blob, len(raw) * 4 + form)
    blob += raw

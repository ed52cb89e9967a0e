"""Small numbers for texts that repeat: matchers, signal types, kinds, recipes, revisions.

How values are written into columns: exactly, whatever strangers put into them.

SQLite's integers have 64 bits with a sign and its texts are UTF-8, but an inode number may
use the 64th bit, a time stamp of the year 2400 exceeds 64 bits when counted in nanoseconds
(the years 1678 to 2262 fit), and a text from a service's JSON may carry a lone surrogate.
What does not fit is stored as another type of the same column, so nothing is rounded and
nothing raises.

Signals and skips of one content as one compact blob.

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

from hashwacht.core.types import Outcome, Reason, Signal, Skip

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1

OUTCOMES = (Outcome.NO_MATCH, Outcome.MATCH, Outcome.UNDETERMINED)
"""An outcome is stored as its place here; never reordered."""

NO_MATCH, MATCH, UNDETERMINED = range(3)


def encode_int(number: int) -> int | str:
    """Return an integer, or its decimal text if SQLite has no integer that large."""
    return number if _LOWEST <= number <= _HIGHEST else str(number)


def encode_text(text: str) -> str | bytes:
    """Return a text, or its bytes if it is not encodable as UTF-8 (lone surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def decode_text(stored: str | bytes) -> str:
    """Undo encode_text."""
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogatepass")


_TEXT, _HEX, _KEY = range(3)
_HEX_DIGITS = frozenset("0123456789abcdef")


class Packer:
    """Writes and reads the blobs with the numbers of one database's words."""

    def __init__(self, words: TextTable) -> None:
        self._words = words

    def pack_signals(
        self, writer: sqlite3.Connection, signals: Iterable[Signal], key: str
    ) -> bytes:
        """Pack signals; a value equal to *key* takes no space.  Inside a transaction."""
        blob = bytearray()
        for signal in signals:
            _put_number(blob, self._words.intern(writer, signal.type))
            _put_number(blob, self._words.intern(writer, signal.variant))
            _put_number(blob, 0 if signal.quality is None else signal.quality + 1)
            _put_value(blob, signal.value, key)
        return bytes(blob)

    def pack_skips(self, writer: sqlite3.Connection, skips: Iterable[Skip]) -> bytes | None:
        """Pack skips; None for none.  Inside a transaction."""
        blob = bytearray()
        for skip in skips:
            _put_number(blob, self._words.intern(writer, skip.type))
            _put_number(blob, self._words.intern(writer, skip.reason))
            _put_value(blob, skip.detail)
        return bytes(blob) or None

    def unpack_signals(
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

    def unpack_skips(self, connection: sqlite3.Connection, blob: bytes | None) -> tuple[Skip, ...]:
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


class TextTable:
    """One table (id, text) of the database, remembered in memory.

    Holds only texts whose number is bounded by the configuration and the software, never
    names of files.  Safe for many readers and one writer; what a transaction has added is
    forgotten when it is rolled back.
    """

    def __init__(self, table: str) -> None:
        self._find = f"SELECT id FROM {table} WHERE text = ?"  # noqa: S608  # our own constant
        self._add = f"INSERT INTO {table} (text) VALUES (?)"  # noqa: S608  # our own constant
        self._read = f"SELECT text FROM {table} WHERE id = ?"  # noqa: S608  # our own constant
        self._list = f"SELECT id, text FROM {table}"  # noqa: S608  # our own constant
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._names: dict[int, tuple[str, ...]] = {}

    def find(self, connection: sqlite3.Connection, text: str) -> int | None:
        """Return the number of *text*, None if it has none yet."""
        known = self._ids.get(text)
        if known is None:
            row = connection.execute(self._find, (encode_text(text),)).fetchone()
            if row is None:
                return None
            known = self._ids[text] = row[0]
        return known

    def intern(self, writer: sqlite3.Connection, text: str) -> int:
        """Return the number of *text*; give it one if it is new.  Inside a transaction."""
        known = self.find(writer, text)
        if known is None:
            known = writer.execute(self._add, (encode_text(text),)).lastrowid
            assert known is not None
            self._ids[text] = known
        return known

    def text(self, connection: sqlite3.Connection, number: int) -> str:
        """Return the text of a number that the database holds."""
        known = self._texts.get(number)
        if known is None:
            (stored,) = connection.execute(self._read, (number,)).fetchone()
            known = self._texts[number] = decode_text(stored)
        return known

    def names(self, connection: sqlite3.Connection, number: int) -> tuple[str, ...]:
        """Return a text that is a list of names separated by blanks, as a tuple."""
        known = self._names.get(number)
        if known is None:
            known = self._names[number] = tuple(self.text(connection, number).split())
        return known

    def load_all(self, connection: sqlite3.Connection) -> dict[int, str]:
        """Return every number with its text."""
        rows = connection.execute(self._list).fetchall()
        return {number: decode_text(stored) for number, stored in rows}

    def clear_cache(self) -> None:
        """Drop what is remembered: a rolled-back transaction may have numbered texts."""
        self._ids.clear()
        self._texts.clear()
        self._names.clear()

"""Encoding of values in columns: integers, texts, interned texts, and blobs of signals.

*Integers and texts* are stored exactly.  SQLite's integers have 64 bits with a sign and its texts
are UTF-8, but an inode number can use the 64th bit, a time stamp of the year 2400 exceeds 64 bits
when counted in nanoseconds (the years 1678 to 2262 fit), and a text from a service's JSON can hold
a lone surrogate.  Such a value is stored as another type in the same column, so that nothing is
rounded and nothing raises.

*Texts that repeat* (matchers, signal types, kinds, recipes, revisions) are interned as small
numbers, each sort in a table of its own.

*Signals and skips* of a content are one compact blob.  A row for each signal would take about three
times the space and six times the inserts, and single signals are never queried: a matcher is
always asked about all signals of a content.  A blob is a sequence of entries.  Numbers are LEB128
varints (DWARF 5, section 7.6); types, variants and reasons are numbers of the ``words`` table.  A
value is its bytes after ``length * 4 + form``:

========  ==============================================================
signal    type, variant, quality + 1 (0: none), value
skip      type, reason, value (the detail)
form      0 text in UTF-8, 1 lower-case hexadecimal, 2 the content's key,
          3 a turn of an earlier signal (:mod:`~hashwacht.storage.sqlite.turned_signals`)
========  ==============================================================
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from hashwacht.core.types import Outcome, Reason, Signal, Skip
from hashwacht.storage.sqlite.turned_signals import TurnedSignals

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1

OUTCOMES = (Outcome.NO_MATCH, Outcome.MATCH, Outcome.UNDETERMINED)
"""An outcome is stored as its index in this tuple, which is never reordered."""

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
    """Return the text that encode_text() stored."""
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogatepass")


_TEXT, _HEX, _KEY, _TURNED = range(4)
_HEX_DIGITS = frozenset("0123456789abcdef")


class Packer:
    """Packs and unpacks blobs with the interned words of one database."""

    def __init__(self, words: TextTable) -> None:
        self._words = words

    def pack_signals(
        self, writer: sqlite3.Connection, signals: Iterable[Signal], key: str
    ) -> bytes:
        """Return signals as a blob, inside a transaction; a value equal to *key* takes no space."""
        blob, turned = bytearray(), TurnedSignals()
        for signal in signals:
            _put_number(blob, self._words.intern(writer, signal.type))
            _put_number(blob, self._words.intern(writer, signal.variant))
            _put_number(blob, 0 if signal.quality is None else signal.quality + 1)
            positions = turned.encode(signal) if signal.variant else None
            if positions is None:
                turned.add(signal)
                _put_value(blob, signal.value, key)
            else:
                _put_number(blob, len(positions) * 4 + _TURNED)
                blob += positions
        return bytes(blob)

    def pack_skips(self, writer: sqlite3.Connection, skips: Iterable[Skip]) -> bytes | None:
        """Return skips as a blob, inside a transaction; None if there are none."""
        blob = bytearray()
        for skip in skips:
            _put_number(blob, self._words.intern(writer, skip.type))
            _put_number(blob, self._words.intern(writer, skip.reason))
            _put_value(blob, skip.detail)
        return bytes(blob) or None

    def unpack_signals(
        self, connection: sqlite3.Connection, blob: bytes, key: str
    ) -> tuple[Signal, ...]:
        """Return the signals in a blob."""
        reader, turned, signals = _BlobReader(blob), TurnedSignals(), []
        while reader.remaining:
            name = self._words.text(connection, reader.number())
            variant = self._words.text(connection, reader.number())
            quality = reader.number() - 1
            form, raw = reader.raw_value()
            if form == _TURNED:
                value = turned.decode(name, variant, raw)
            else:
                value = _text_of(form, raw, key)
            signal = Signal(name, value, None if quality < 0 else quality, variant)
            if form != _TURNED:
                turned.add(signal)
            signals.append(signal)
        return tuple(signals)

    def unpack_skips(self, connection: sqlite3.Connection, blob: bytes | None) -> tuple[Skip, ...]:
        """Return the skips in a blob."""
        reader, skips = _BlobReader(blob or b""), []
        while reader.remaining:
            name = self._words.text(connection, reader.number())
            reason = Reason(self._words.text(connection, reader.number()))
            skips.append(Skip(name, reason, _text_of(*reader.raw_value())))
        return tuple(skips)


class _BlobReader:
    """Reads a blob from its beginning to its end."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._at = 0

    @property
    def remaining(self) -> bool:
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

    def raw_value(self) -> tuple[int, bytes]:
        """Return the form of a value and its bytes."""
        length, form = divmod(self.number(), 4)
        raw = self._blob[self._at : self._at + length]
        self._at += length
        return form, raw


def _text_of(form: int, raw: bytes, key: str = "") -> str:
    if form == _KEY:
        return key
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
    """One table (id, text) of interned texts, cached in memory.

    It holds only texts whose number is bounded by the configuration and the software, never names
    of files.  Safe for many readers and one writer; a transaction that is rolled back has to clear
    the cache, because it may have added texts.
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
        """Return the number of *text*, which is added if it is new.  Inside a transaction."""
        known = self.find(writer, text)
        if known is None:
            known = writer.execute(self._add, (encode_text(text),)).lastrowid
            assert known is not None
            self._ids[text] = known
        return known

    def text(self, connection: sqlite3.Connection, number: int) -> str:
        """Return the text of a stored number."""
        known = self._texts.get(number)
        if known is None:
            (stored,) = connection.execute(self._read, (number,)).fetchone()
            known = self._texts[number] = decode_text(stored)
        return known

    def names(self, connection: sqlite3.Connection, number: int) -> tuple[str, ...]:
        """Return the names in a text that is a list of names separated by blanks."""
        known = self._names.get(number)
        if known is None:
            known = self._names[number] = tuple(self.text(connection, number).split())
        return known

    def load_all(self, connection: sqlite3.Connection) -> dict[int, str]:
        """Return every text by its number."""
        rows = connection.execute(self._list).fetchall()
        return {number: decode_text(stored) for number, stored in rows}

    def clear_cache(self) -> None:
        """Clear the cache after a rollback."""
        self._ids.clear()
        self._texts.clear()
        self._names.clear()

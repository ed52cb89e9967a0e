"""Small numbers for texts that repeat: matchers, signal types, kinds, recipes, revisions."""

from __future__ import annotations

import sqlite3

from hashwacht.storage.sqlite.encoding import stored_text, text_of


class Dictionary:
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
            row = connection.execute(self._find, (stored_text(text),)).fetchone()
            if row is None:
                return None
            known = self._ids[text] = row[0]
        return known

    def number(self, writer: sqlite3.Connection, text: str) -> int:
        """Return the number of *text*; give it one if it is new.  Inside a transaction."""
        known = self.find(writer, text)
        if known is None:
            known = writer.execute(self._add, (stored_text(text),)).lastrowid
            assert known is not None
            self._ids[text] = known
        return known

    def text(self, connection: sqlite3.Connection, number: int) -> str:
        """Return the text of a number that the database holds."""
        known = self._texts.get(number)
        if known is None:
            (stored,) = connection.execute(self._read, (number,)).fetchone()
            known = self._texts[number] = text_of(stored)
        return known

    def names(self, connection: sqlite3.Connection, number: int) -> tuple[str, ...]:
        """Return a text that is a list of names separated by blanks, as a tuple."""
        known = self._names.get(number)
        if known is None:
            known = self._names[number] = tuple(self.text(connection, number).split())
        return known

    def all(self, connection: sqlite3.Connection) -> dict[int, str]:
        """Return every number with its text."""
        rows = connection.execute(self._list).fetchall()
        return {number: text_of(stored) for number, stored in rows}

    def forget(self) -> None:
        """Drop what is remembered: a rolled-back transaction may have numbered texts."""
        self._ids.clear()
        self._texts.clear()
        self._names.clear()

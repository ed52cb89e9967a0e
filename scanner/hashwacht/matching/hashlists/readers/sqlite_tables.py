"""Lists as SQLite databases: the NSRL's RDS 3, and a table with columns named after signal types.

The database is opened read-only and immutable, its schema is not trusted: no function or virtual
table of it runs.  In RDS 3 the table METADATA has all files; the view FILE repeats them for
each package.

Source: NIST, NSRL, RDS v3 schema.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import BinaryIO

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.readers.entries import (
    ColumnUse,
    Item,
    ListEntry,
    ListEntryBuilder,
    MalformedLine,
    RejectedLine,
    show_names,
)
from hashwacht.matching.hashlists.readers.source import ListSource

_PREFERRED = ("metadata", "file", "distinct_hash")
_ROWS = 1000


class SqliteReader:
    """Reads the table of a database that has columns named after signal types."""

    unit = "row"

    def __init__(self, source: ListSource, build: ListEntryBuilder) -> None:
        self._source, self._build = source, build
        self.columns: tuple[ColumnUse, ...] = ()

    def __iter__(self) -> Iterator[Item]:
        """Yield the values of all rows.  Raises ListError if there are none, or it is damaged."""
        number = 0
        with self._source.database() as file:
            try:
                with closing(_open(file)) as database:
                    table, titles = self._table(database)
                    for row in _rows(database, table, titles):
                        number += 1
                        try:
                            yield from self._entries(row)
                        except MalformedLine as malformed:
                            yield RejectedLine(number, str(malformed))
            except sqlite3.Error as error:
                raise ListError(
                    f"the database cannot be read after {number} rows: {error}",
                    advice="Get it again, or check it with `PRAGMA integrity_check`.",
                ) from error

    def _table(self, database: sqlite3.Connection) -> tuple[str, list[str]]:
        """Select the table to read, note what its columns are, and return their titles."""
        names = database.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'"
        )
        columns = {name: self._hash_columns(database, name) for (name,) in names.fetchall()}
        tables = [name for name in columns if columns[name]]
        preferred = [name for wanted in _PREFERRED for name in tables if name.lower() == wanted]
        chosen = preferred[:1] or tables
        if len(chosen) != 1:
            found = show_names(chosen) if chosen else "none"
            raise ListError(
                "one table of the database must have columns named after signal types;"
                f" these have: {found}",
                advice="Export the hashes to CSV with a header such as md5,sha1, and import that.",
            )
        (table,) = chosen
        self.columns = tuple(
            ColumnUse(f"{table}.{column.title}", column.use) for column in columns[table]
        )
        return table, [column.title for column in columns[table]]

    def _hash_columns(self, database: sqlite3.Connection, table: str) -> tuple[ColumnUse, ...]:
        rows = database.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
        uses = ((name, self._build.resolve(name)) for (name,) in rows)
        return tuple(ColumnUse(name, use) for name, use in uses if use)

    def _entries(self, row: Sequence[object]) -> Sequence[ListEntry]:
        entries = []
        for column, value in zip(self.columns, row, strict=True):
            if value is None or value == "":
                continue
            text = value.hex() if isinstance(value, bytes) else value
            if not isinstance(text, str):
                raise MalformedLine("a field is neither text nor bytes")
            entries.append(self._build(column.use, text))
        if not entries:
            raise MalformedLine("contains no value")
        return entries


def _open(file: BinaryIO) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"file:/proc/self/fd/{file.fileno()}?mode=ro&immutable=1", uri=True, isolation_level=None
    )
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1 << 24)
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    return database


def _rows(
    database: sqlite3.Connection, table: str, columns: Sequence[str]
) -> Iterator[Sequence[object]]:
    """Yield the values of these columns of all rows."""
    names = ", ".join(_quoted(column) for column in columns)
    cursor = database.execute(f"SELECT {names} FROM {_quoted(table)}")  # noqa: S608  # quoted
    cursor.arraysize = _ROWS
    while rows := cursor.fetchmany():
        yield from rows


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

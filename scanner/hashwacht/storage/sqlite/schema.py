"""The tables of the state, as numbered steps from an empty file to today's form.

Words of the model: a *file* name maps to a content; a *content* has one fingerprint; a
(content, matcher) pair has one dated *answer* with its *matches*.  ``contents`` is narrow
and holds what an unchanged file is judged by, so that asking for it stays cheap;
``fingerprints`` is wide and read only when somebody asks again.  ``words``, ``recipes``,
``signal_sets`` and ``epochs`` give small numbers to texts that repeat.

A step is never changed once released: a new need is a new step at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from hashwacht.core.errors import StateError
from hashwacht.storage.sqlite.schema_daemon import ALERTS, CASES, GAPS, JOURNAL, STATUS

Step = tuple[str, ...]
"""The SQL statements that lead from one version to the next."""

APPLICATION_ID = 0x48575354
"""``HWST``: tells our file from another SQLite database (``PRAGMA application_id``)."""

_VERSION_1: Step = (
    "CREATE TABLE words (id INTEGER PRIMARY KEY, text NOT NULL UNIQUE)",
    "CREATE TABLE recipes (id INTEGER PRIMARY KEY, text NOT NULL UNIQUE)",
    "CREATE TABLE signal_sets (id INTEGER PRIMARY KEY, text NOT NULL UNIQUE)",
    "CREATE TABLE epochs (id INTEGER PRIMARY KEY, text NOT NULL UNIQUE)",
    """CREATE TABLE contents (
        id INTEGER PRIMARY KEY,
        recipe INTEGER NOT NULL,
        signal_set INTEGER NOT NULL,
        outcome INTEGER,
        reason INTEGER,
        epoch INTEGER,
        asked_at REAL)""",
    """CREATE TABLE fingerprints (
        content INTEGER PRIMARY KEY REFERENCES contents (id),
        key BLOB NOT NULL,
        size INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        damaged INTEGER NOT NULL,
        first_seen REAL NOT NULL,
        signals BLOB NOT NULL,
        skips BLOB)""",
    # Eight bytes of the key find it; the whole key is compared in the row itself.
    "CREATE INDEX fingerprints_by_key ON fingerprints (substr(key, 1, 8))",
    """CREATE TABLE directories (
        id INTEGER PRIMARY KEY,
        path BLOB NOT NULL UNIQUE,
        run INTEGER NOT NULL)""",
    # The five numbers of a FileId have no type: what exceeds 64 bits is stored as text.
    """CREATE TABLE files (
        directory INTEGER NOT NULL REFERENCES directories (id) ON DELETE CASCADE,
        name BLOB NOT NULL,
        dev NOT NULL,
        ino NOT NULL,
        size NOT NULL,
        mtime_ns NOT NULL,
        ctime_ns NOT NULL,
        content INTEGER REFERENCES contents (id),
        reason INTEGER,
        run INTEGER NOT NULL,
        linked INTEGER NOT NULL,
        PRIMARY KEY (directory, name)) WITHOUT ROWID""",
    "CREATE INDEX files_by_content ON files (content) WHERE content IS NOT NULL",
    "CREATE INDEX files_by_inode ON files (ino, dev) WHERE linked = 1",
    """CREATE TABLE answers (
        content INTEGER NOT NULL REFERENCES contents (id),
        matcher INTEGER NOT NULL,
        outcome INTEGER NOT NULL,
        asked_at REAL NOT NULL,
        revision INTEGER NOT NULL,
        reason INTEGER,
        detail,
        first_match_at REAL,
        PRIMARY KEY (content, matcher)) WITHOUT ROWID""",
    """CREATE TABLE matches (
        content INTEGER NOT NULL,
        matcher INTEGER NOT NULL,
        number INTEGER NOT NULL,
        signal BLOB NOT NULL,
        distance INTEGER,
        category INTEGER NOT NULL,
        list INTEGER NOT NULL,
        entry NOT NULL,
        known_good INTEGER NOT NULL,
        PRIMARY KEY (content, matcher, number),
        FOREIGN KEY (content, matcher) REFERENCES answers (content, matcher) ON DELETE CASCADE
        ) WITHOUT ROWID""",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        roots BLOB NOT NULL,
        options TEXT NOT NULL,
        state TEXT NOT NULL,
        started REAL NOT NULL,
        updated REAL NOT NULL,
        finished REAL,
        tally TEXT NOT NULL)""",
)

_VERSION_2: Step = (
    # Contents that ended the workers that decoded them, by key: they may have no row above.
    """CREATE TABLE culprits (
        key BLOB NOT NULL,
        decoder INTEGER NOT NULL,
        times INTEGER NOT NULL,
        reason INTEGER NOT NULL,
        last REAL NOT NULL,
        PRIMARY KEY (key, decoder)) WITHOUT ROWID""",
)

_VERSION_3: Step = (*JOURNAL, *GAPS, *CASES, *ALERTS, *STATUS)

STEPS: tuple[Step, ...] = (_VERSION_1, _VERSION_2, _VERSION_3)
"""All steps in order; the version of a database is the number of steps it has taken."""


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[Step]) -> None:
    """Take all missing steps in one transaction: a crash leaves the version that was.

    Raises StateError if the database was written by a newer release, or is none of ours;
    sqlite3.Error if a statement fails.
    """
    if _version(connection, path, len(steps)) == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again under the lock: another process may have been faster.
        for step in steps[_version(connection, path, len(steps)) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """How many steps this database has taken.  Raises StateError."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (tables or version):
        raise StateError(
            f"{path} is a database of another program",
            advice="Give Hashwacht a state directory of its own.",
        )
    if version > newest:
        raise StateError(
            f"{path} was written by a newer Hashwacht (schema {version}, known up to {newest})",
            advice="Upgrade Hashwacht, or point it at another state directory.",
        )
    return int(version)

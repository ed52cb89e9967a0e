"""The tables that the daemon brought, in version 3 of the schema.

Once released they are never changed: see :mod:`hashwacht.state.schema`.
"""

from __future__ import annotations

JOURNAL = (
    # Files that were announced and not yet answered for.  The number grows with every
    # announcement, so that work on an older one does not settle a newer one.
    """CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path BLOB NOT NULL UNIQUE,
        root TEXT NOT NULL,
        tree INTEGER NOT NULL,
        lane INTEGER NOT NULL,
        announced REAL NOT NULL,
        due REAL NOT NULL,
        attempts INTEGER NOT NULL)""",
    "CREATE INDEX journal_by_due ON journal (lane, due, id)",
)

GAPS = (
    # Open until a walk has closed it; ended is NULL while events may still be missed.
    """CREATE TABLE gaps (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        root TEXT NOT NULL,
        path BLOB NOT NULL,
        cause TEXT NOT NULL,
        detail TEXT NOT NULL,
        began REAL NOT NULL,
        ended REAL,
        closed REAL)""",
    "CREATE INDEX gaps_open ON gaps (root) WHERE closed IS NULL",
    # When each root was last known to be watched: from there on is downtime.
    """CREATE TABLE watched (
        root TEXT PRIMARY KEY,
        path BLOB NOT NULL,
        at REAL NOT NULL,
        dev NOT NULL,
        ino NOT NULL) WITHOUT ROWID""",
)

CASES = (
    # One case for each content that matched, with one place for each file of it.
    """CREATE TABLE cases (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key BLOB NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        opened REAL NOT NULL,
        updated REAL NOT NULL,
        evidence TEXT NOT NULL)""",
    """CREATE TABLE places (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        "case" INTEGER NOT NULL REFERENCES cases (id),
        root TEXT NOT NULL,
        path BLOB NOT NULL,
        account TEXT NOT NULL,
        found REAL NOT NULL,
        action TEXT NOT NULL,
        state TEXT NOT NULL,
        acted REAL,
        vault TEXT NOT NULL,
        detail TEXT NOT NULL)""",
    'CREATE INDEX places_by_case ON places ("case")',
    "CREATE INDEX places_by_path ON places (path)",
    "CREATE INDEX places_acted ON places (acted) WHERE acted IS NOT NULL",
    """CREATE TABLE notes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        "case" INTEGER NOT NULL REFERENCES cases (id),
        at REAL NOT NULL,
        who TEXT NOT NULL,
        text TEXT NOT NULL)""",
    # Why the flood guard holds actions, until somebody lets go.
    """CREATE TABLE floods (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        scope TEXT NOT NULL,
        subject TEXT NOT NULL,
        began REAL NOT NULL,
        ended REAL,
        ruling TEXT NOT NULL)""",
)

ALERTS = (
    # Notices on their way, one row for each channel.
    """CREATE TABLE alerts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        channel TEXT NOT NULL,
        kind TEXT NOT NULL,
        at REAL NOT NULL,
        summary TEXT NOT NULL,
        "case" TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        due REAL NOT NULL,
        delivered REAL,
        problem TEXT NOT NULL)""",
    "CREATE INDEX alerts_due ON alerts (due) WHERE delivered IS NULL",
)

"""The tables that the daemon brought, in version 3 of the schema.

Once released they are never changed: see :mod:`hashwacht.state.schema`.
"""

from __future__ import annotations

JOURNAL = (
    # Files that were announced and not yet looked at.  The generation grows with every further
    # announcement, so that work on an older one does not settle a newer one.
    """CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        generation INTEGER NOT NULL,
        path BLOB NOT NULL UNIQUE,
        root TEXT NOT NULL,
        tree INTEGER NOT NULL,
        closed INTEGER NOT NULL,
        lane INTEGER NOT NULL,
        announced REAL NOT NULL,
        due REAL NOT NULL,
        attempts INTEGER NOT NULL)""",
    "CREATE INDEX journal_files ON journal (lane, due, id) WHERE tree = 0",
    "CREATE INDEX journal_trees ON journal (due, id) WHERE tree = 1",
    # Contents that nobody has answered for, with one place where each was found.
    """CREATE TABLE unanswered (
        content INTEGER PRIMARY KEY REFERENCES contents (id),
        lane INTEGER NOT NULL,
        since REAL NOT NULL,
        root TEXT NOT NULL,
        path BLOB NOT NULL)""",
    "CREATE INDEX unanswered_by_age ON unanswered (lane, since, content)",
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
    # Notices on their way, one row for each channel.  All rows of one message have its name
    # as their batch, which stays the same however often it is tried.
    """CREATE TABLE alerts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        channel TEXT NOT NULL,
        notice TEXT NOT NULL,
        kind TEXT NOT NULL,
        at REAL NOT NULL,
        summary TEXT NOT NULL,
        "case" TEXT NOT NULL,
        left_out INTEGER NOT NULL,
        batch TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        due REAL NOT NULL,
        ended REAL,
        problem TEXT NOT NULL)""",
    "CREATE INDEX alerts_waiting ON alerts (channel, due) WHERE state = 'waiting'",
    "CREATE INDEX alerts_ended ON alerts (channel, ended) WHERE ended IS NOT NULL",
)

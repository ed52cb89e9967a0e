"""The tables that the daemon brought, in version 3 of the schema.

Once released they are never changed: see :mod:`hashwacht.storage.sqlite.schema`.
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
    "CREATE INDEX journal_trees ON journal (lane, due, id) WHERE tree = 1",
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
    # Open until a walk has closed it; ended is NULL while events may still be missed.  The
    # generation grows with everything that is said of it, so that no walk closes what came later.
    """CREATE TABLE gaps (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        root TEXT NOT NULL,
        path BLOB NOT NULL,
        cause TEXT NOT NULL,
        detail TEXT NOT NULL,
        began REAL NOT NULL,
        ended REAL,
        closed REAL,
        generation INTEGER NOT NULL)""",
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
    # One case for each content that matched.
    """CREATE TABLE cases (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key BLOB NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        opened REAL NOT NULL,
        updated REAL NOT NULL,
        evidence TEXT NOT NULL)""",
    "CREATE INDEX cases_by_state ON cases (state, id)",
    # Where the content of a case was found, and what became of the file there.  A file that is
    # held because nobody can say anything about it has a place and no case.  While the file may
    # still be there (live), a path has one place for each content.
    """CREATE TABLE places (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key BLOB NOT NULL,
        number INTEGER NOT NULL,
        root TEXT NOT NULL,
        path BLOB NOT NULL,
        file TEXT NOT NULL,
        uid INTEGER,
        account TEXT NOT NULL,
        found REAL NOT NULL,
        action TEXT NOT NULL,
        rule TEXT NOT NULL,
        state TEXT NOT NULL,
        live INTEGER NOT NULL,
        acted REAL,
        counted REAL,
        attempts INTEGER NOT NULL,
        due REAL,
        flood INTEGER REFERENCES floods (id),
        vault TEXT NOT NULL,
        held TEXT NOT NULL,
        detail TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX places_live ON places (path, key) WHERE live = 1",
    "CREATE UNIQUE INDEX places_by_key ON places (key, number)",
    "CREATE INDEX places_by_account ON places (key, root, uid)",
    "CREATE INDEX places_due ON places (due) WHERE due IS NOT NULL",
    "CREATE INDEX places_by_flood ON places (flood, id) WHERE flood IS NOT NULL",
    "CREATE INDEX places_sealed ON places (acted) WHERE state = 'quarantined'",
    "CREATE INDEX places_counted ON places (root, counted) WHERE counted IS NOT NULL",
    "CREATE INDEX places_counted_by_key ON places (key, counted) WHERE counted IS NOT NULL",
    """CREATE TABLE notes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        "case" INTEGER NOT NULL REFERENCES cases (id),
        at REAL NOT NULL,
        who TEXT NOT NULL,
        text TEXT NOT NULL)""",
    'CREATE INDEX notes_by_case ON notes ("case", id)',
    # Why the flood guard holds actions, and what somebody has ruled.
    """CREATE TABLE floods (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        scope TEXT NOT NULL,
        root TEXT NOT NULL,
        subject TEXT NOT NULL,
        most INTEGER NOT NULL,
        began REAL NOT NULL,
        ruling TEXT NOT NULL,
        ruled REAL,
        who TEXT NOT NULL,
        reason TEXT NOT NULL)""",
    """CREATE UNIQUE INDEX floods_in_force ON floods (scope, root, subject)
        WHERE ruling IN ('open', 'stand-down')""",
    "CREATE INDEX floods_by_subject ON floods (scope, root, subject, ruled)",
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

STATUS = (
    # How many contents nobody can say anything about, asked every few seconds.
    "CREATE INDEX contents_undetermined ON contents (id) WHERE outcome = 2",
)

"""The schema, as numbered steps from an empty file to the present version.

A *file* name maps to a content; a *content* has one fingerprint; a pair of content and matcher has
one dated *answer* with its *matches*.  ``contents`` is narrow, so that an unchanged file is cheap.
``words``, ``recipes``, ``signal_sets`` and ``epochs`` intern texts that repeat.

A released step is never changed; every change is a new step at the end.  Some tables and columns
therefore have other names than in Python: ``epochs`` and ``contents.epoch`` are knowledge ids,
``places`` file locations (``found``, ``acted``, ``counted`` with ``_at``; ``flood`` is the id of
the reached limit), ``floods`` reached action limits (``ruling``, ``ruled`` and ``who`` are the
decision; ``most`` is the limit, ``began`` when it was reached), ``alerts`` the outbox,
``unanswered`` pending contents, ``culprits`` the crash log, and ``watched`` heartbeats.
"""

from __future__ import annotations

Step = tuple[str, ...]
"""The SQL statements that migrate one version to the next."""

APPLICATION_ID = 0x48575354
"""``HWST``, which identifies our databases (``PRAGMA application_id``)."""

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
    # The index holds eight bytes of the key; the whole key is compared in the row itself.
    "CREATE INDEX fingerprints_by_key ON fingerprints (substr(key, 1, 8))",
    """CREATE TABLE directories (
        id INTEGER PRIMARY KEY,
        path BLOB NOT NULL UNIQUE,
        run INTEGER NOT NULL)""",
    # The five numbers of a FileId have no type: a number beyond 64 bits is stored as text.
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
    # Contents that ended the workers decoding them, by key: they may have no row in contents.
    """CREATE TABLE culprits (
        key BLOB NOT NULL,
        decoder INTEGER NOT NULL,
        times INTEGER NOT NULL,
        reason INTEGER NOT NULL,
        last REAL NOT NULL,
        PRIMARY KEY (key, decoder)) WITHOUT ROWID""",
)

_VERSION_3: Step = (
    # Files that were announced and not yet examined.  The generation grows with every further
    # announcement, so that work on an earlier one does not remove a later one.
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
    # Contents that wait for an unavailable matcher, with one path of each.
    """CREATE TABLE unanswered (
        content INTEGER PRIMARY KEY REFERENCES contents (id),
        lane INTEGER NOT NULL,
        since REAL NOT NULL,
        root TEXT NOT NULL,
        path BLOB NOT NULL)""",
    "CREATE INDEX unanswered_by_age ON unanswered (lane, since, content)",
    # Open until a walk has closed it; ended is NULL while events may still be missed.  The
    # generation grows with every change, so that no walk closes a gap that has changed since.
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
    # When each root was last known to be watched; the time after it is downtime.
    """CREATE TABLE watched (
        root TEXT PRIMARY KEY,
        path BLOB NOT NULL,
        at REAL NOT NULL,
        dev NOT NULL,
        ino NOT NULL) WITHOUT ROWID""",
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
    # Where the content of a case was found, and the state of the file there.  A file that is held
    # as undetermined has a location and no case.  While the file may still be there (live), a
    # path has one location for each content.
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
    # Action limits that were reached, and the decisions about them.
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
    # Notices to deliver, one row for each channel.  All rows of one message have its name as
    # their batch, which is the same in every attempt.
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
    # The number of undetermined contents is queried every few seconds.
    "CREATE INDEX contents_undetermined ON contents (id) WHERE outcome = 2",
)

_VERSION_4: Step = (
    # The directory of the customer, so that the entries of one do not delay those of others.
    "ALTER TABLE journal ADD COLUMN account BLOB NOT NULL DEFAULT x''",
    "DROP INDEX journal_files",
    "DROP INDEX journal_trees",
    "CREATE INDEX journal_files ON journal (lane, account, due, id) WHERE tree = 0",
    "CREATE INDEX journal_trees ON journal (lane, account, due, id) WHERE tree = 1",
    "CREATE INDEX journal_due ON journal (tree, lane, due)",
    # Undetermined contents that a person accepted, for the reason that they had then.
    """CREATE TABLE accepted (
        key BLOB PRIMARY KEY,
        reason TEXT NOT NULL,
        at REAL NOT NULL,
        who TEXT NOT NULL,
        text TEXT NOT NULL) WITHOUT ROWID""",
    # The newest entry of the audit log that belongs to what is stored here.
    """CREATE TABLE audit_heads (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seq INTEGER NOT NULL,
        hash TEXT NOT NULL)""",
    # Action limits count accounts.
    "DROP INDEX places_counted",
    "DROP INDEX places_counted_by_key",
    "CREATE INDEX places_counted ON places (root, uid, counted) WHERE counted IS NOT NULL",
    "CREATE INDEX places_counted_by_key ON places (key, uid, counted) WHERE counted IS NOT NULL",
    # One row for each upload.  The outcome is 0 for no match, 1 for undetermined, 2 for a match;
    # the context is empty for no match.
    """CREATE TABLE uploads (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key BLOB NOT NULL,
        client TEXT NOT NULL,
        at REAL NOT NULL,
        outcome INTEGER NOT NULL,
        context TEXT NOT NULL)""",
    "CREATE INDEX uploads_by_key ON uploads (key, client, id)",
    "CREATE INDEX uploads_by_client ON uploads (client, outcome, id)",
    "CREATE INDEX uploads_by_age ON uploads (at)",
    # What a hosting panel knows of the path, as JSON, and the new hash list that alone knows the
    # content, as MATCHER/LIST; empty for nothing and for none.
    "ALTER TABLE places ADD COLUMN site TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE places ADD COLUMN list TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX places_counted_by_list ON places (list, uid, counted) WHERE counted IS NOT NULL",
    # Up to where the reports of the watch are recorded; one row.
    """CREATE TABLE watch_position (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        stream TEXT NOT NULL,
        number INTEGER NOT NULL)""",
)
"""Signals may also be stored as turns of others since then."""

_VERSION_5: Step = (
    # Reports about cases; the body is UTF-8.
    """CREATE TABLE reports (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        "case" INTEGER NOT NULL REFERENCES cases (id),
        kind TEXT NOT NULL,
        language TEXT NOT NULL,
        scope TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at REAL NOT NULL,
        created_by TEXT NOT NULL,
        body BLOB NOT NULL,
        approved_at REAL,
        approved_by TEXT NOT NULL,
        ended_at REAL,
        ended_by TEXT NOT NULL,
        remark TEXT NOT NULL)""",
    'CREATE INDEX reports_by_case ON reports ("case", id)',
    "CREATE INDEX reports_unfinished ON reports (state, id) WHERE state IN ('draft', 'approved')",
    # The contents in an archive; names are those that its case shows.
    """CREATE TABLE members (
        container INTEGER NOT NULL REFERENCES contents (id),
        ordinal INTEGER NOT NULL,
        name TEXT NOT NULL,
        content INTEGER NOT NULL REFERENCES contents (id),
        PRIMARY KEY (container, ordinal)) WITHOUT ROWID""",
    "CREATE INDEX members_by_content ON members (content)",
)

STEPS: tuple[Step, ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5)
"""All steps in order; the version of a database is the number of its steps."""

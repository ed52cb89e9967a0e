BEGIN TRANSACTION;
CREATE TABLE accepted (
        key BLOB PRIMARY KEY,
        reason TEXT NOT NULL,
        at REAL NOT NULL,
        who TEXT NOT NULL,
        text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE alerts (
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
        problem TEXT NOT NULL);
CREATE TABLE answers (
        content INTEGER NOT NULL REFERENCES contents (id),
        matcher INTEGER NOT NULL,
        outcome INTEGER NOT NULL,
        asked_at REAL NOT NULL,
        revision INTEGER NOT NULL,
        reason INTEGER,
        detail,
        first_match_at REAL,
        PRIMARY KEY (content, matcher)) WITHOUT ROWID;
INSERT INTO "answers" VALUES(1,9,1,1700000001.5,10,NULL,NULL,1700000001.5);
INSERT INTO "answers" VALUES(2,9,0,1700000001.5,10,NULL,NULL,NULL);
INSERT INTO "answers" VALUES(2,13,2,1700000001.5,3,14,'timed out',NULL);
CREATE TABLE audit_heads (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seq INTEGER NOT NULL,
        hash TEXT NOT NULL);
CREATE TABLE cases (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key BLOB NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        opened REAL NOT NULL,
        updated REAL NOT NULL,
        evidence TEXT NOT NULL);
CREATE TABLE contents (
        id INTEGER PRIMARY KEY,
        recipe INTEGER NOT NULL,
        signal_set INTEGER NOT NULL,
        outcome INTEGER,
        reason INTEGER,
        epoch INTEGER,
        asked_at REAL);
INSERT INTO "contents" VALUES(1,1,1,1,NULL,1,1700000001.5);
INSERT INTO "contents" VALUES(2,2,2,2,14,1,1700000001.5);
CREATE TABLE culprits (
        key BLOB NOT NULL,
        decoder INTEGER NOT NULL,
        times INTEGER NOT NULL,
        reason INTEGER NOT NULL,
        last REAL NOT NULL,
        PRIMARY KEY (key, decoder)) WITHOUT ROWID;
INSERT INTO "culprits" VALUES(X'CDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCD',16,2,17,1700000000.0);
CREATE TABLE directories (
        id INTEGER PRIMARY KEY,
        path BLOB NOT NULL UNIQUE,
        run INTEGER NOT NULL);
INSERT INTO "directories" VALUES(1,X'2F7372762FFF',1);
CREATE TABLE epochs (id INTEGER PRIMARY KEY, text NOT NULL UNIQUE);
INSERT INTO "epochs" VALUES(1,'hashlist 1');
CREATE TABLE files (
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
        PRIMARY KEY (directory, name)) WITHOUT ROWID;
INSERT INTO "files" VALUES(1,X'6C6F636B6564',64769,6,0,1,1,NULL,15,1,0);
INSERT INTO "files" VALUES(1,X'6F6E650A2E6A7067',64769,'18446744073709551615',12,-1,'9223372036854775808',1,NULL,1,1);
INSERT INTO "files" VALUES(1,X'74776F',64769,5,0,1,1,2,NULL,1,0);
CREATE TABLE fingerprints (
        content INTEGER PRIMARY KEY REFERENCES contents (id),
        key BLOB NOT NULL,
        size INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        damaged INTEGER NOT NULL,
        first_seen REAL NOT NULL,
        signals BLOB NOT NULL,
        skips BLOB);
INSERT INTO "fingerprints" VALUES(1,X'ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB',12,1,1,1700000000.0,X'0203000204034E8101BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB',X'0506443930206D696C6C696F6E20706978656C73');
INSERT INTO "fingerprints" VALUES(2,X'CDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCD',0,7,0,1700000000.0,X'080300510101010101010101010101010101010101010101',NULL);
CREATE TABLE floods (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        scope TEXT NOT NULL,
        root TEXT NOT NULL,
        subject TEXT NOT NULL,
        most INTEGER NOT NULL,
        began REAL NOT NULL,
        ruling TEXT NOT NULL,
        ruled REAL,
        who TEXT NOT NULL,
        reason TEXT NOT NULL);
CREATE TABLE gaps (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        root TEXT NOT NULL,
        path BLOB NOT NULL,
        cause TEXT NOT NULL,
        detail TEXT NOT NULL,
        began REAL NOT NULL,
        ended REAL,
        closed REAL,
        generation INTEGER NOT NULL);
CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        generation INTEGER NOT NULL,
        path BLOB NOT NULL UNIQUE,
        root TEXT NOT NULL,
        tree INTEGER NOT NULL,
        closed INTEGER NOT NULL,
        lane INTEGER NOT NULL,
        announced REAL NOT NULL,
        due REAL NOT NULL,
        attempts INTEGER NOT NULL, account BLOB NOT NULL DEFAULT x'');
CREATE TABLE matches (
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
        ) WITHOUT ROWID;
INSERT INTO "matches" VALUES(1,9,0,X'04034E8101BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB',3,11,12,'entry 7',0);
CREATE TABLE members (
        container INTEGER NOT NULL REFERENCES contents (id),
        ordinal INTEGER NOT NULL,
        name TEXT NOT NULL,
        content INTEGER NOT NULL REFERENCES contents (id),
        PRIMARY KEY (container, ordinal)) WITHOUT ROWID;
CREATE TABLE notes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        "case" INTEGER NOT NULL REFERENCES cases (id),
        at REAL NOT NULL,
        who TEXT NOT NULL,
        text TEXT NOT NULL);
CREATE TABLE places (
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
        detail TEXT NOT NULL, site TEXT NOT NULL DEFAULT '', list TEXT NOT NULL DEFAULT '');
CREATE TABLE recipes (id INTEGER PRIMARY KEY, text NOT NULL UNIQUE);
INSERT INTO "recipes" VALUES(1,'pdq/1 phash64/1');
INSERT INTO "recipes" VALUES(2,'sha1/1');
CREATE TABLE reports (
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
        remark TEXT NOT NULL);
CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        roots BLOB NOT NULL,
        options TEXT NOT NULL,
        state TEXT NOT NULL,
        started REAL NOT NULL,
        updated REAL NOT NULL,
        finished REAL,
        tally TEXT NOT NULL);
INSERT INTO "runs" VALUES(1,'scan',X'2F737276','{}','running',1700000000.0,1700000000.0,NULL,'{}');
CREATE TABLE signal_sets (id INTEGER PRIMARY KEY, text NOT NULL UNIQUE);
INSERT INTO "signal_sets" VALUES(1,'pdq sha256');
INSERT INTO "signal_sets" VALUES(2,'sha1');
CREATE TABLE unanswered (
        content INTEGER PRIMARY KEY REFERENCES contents (id),
        lane INTEGER NOT NULL,
        since REAL NOT NULL,
        root TEXT NOT NULL,
        path BLOB NOT NULL);
CREATE TABLE uploads (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key BLOB NOT NULL,
        client TEXT NOT NULL,
        at REAL NOT NULL,
        outcome INTEGER NOT NULL,
        context TEXT NOT NULL);
CREATE TABLE watch_position (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        stream TEXT NOT NULL,
        number INTEGER NOT NULL);
CREATE TABLE watched (
        root TEXT PRIMARY KEY,
        path BLOB NOT NULL,
        at REAL NOT NULL,
        dev NOT NULL,
        ino NOT NULL) WITHOUT ROWID;
CREATE TABLE words (id INTEGER PRIMARY KEY, text NOT NULL UNIQUE);
INSERT INTO "words" VALUES(1,'image/jpeg');
INSERT INTO "words" VALUES(2,'sha256');
INSERT INTO "words" VALUES(3,'');
INSERT INTO "words" VALUES(4,'pdq');
INSERT INTO "words" VALUES(5,'phash64');
INSERT INTO "words" VALUES(6,'over-limit');
INSERT INTO "words" VALUES(7,'text/plain');
INSERT INTO "words" VALUES(8,'sha1');
INSERT INTO "words" VALUES(9,'hashlist');
INSERT INTO "words" VALUES(10,'1');
INSERT INTO "words" VALUES(11,'csam');
INSERT INTO "words" VALUES(12,'national');
INSERT INTO "words" VALUES(13,'eokm');
INSERT INTO "words" VALUES(14,'unanswered');
INSERT INTO "words" VALUES(15,'unreadable');
INSERT INTO "words" VALUES(16,'hashwacht/0.1.0 pillow/13.0.0');
INSERT INTO "words" VALUES(17,'worker-died');
CREATE INDEX fingerprints_by_key ON fingerprints (substr(key, 1, 8));
CREATE INDEX files_by_content ON files (content) WHERE content IS NOT NULL;
CREATE INDEX files_by_inode ON files (ino, dev) WHERE linked = 1;
CREATE INDEX journal_files ON journal (lane, account, due, id) WHERE tree = 0;
CREATE INDEX journal_trees ON journal (lane, account, due, id) WHERE tree = 1;
CREATE INDEX journal_due ON journal (tree, lane, due);
CREATE INDEX unanswered_by_age ON unanswered (lane, since, content);
CREATE INDEX gaps_open ON gaps (root) WHERE closed IS NULL;
CREATE INDEX cases_by_state ON cases (state, id);
CREATE UNIQUE INDEX places_live ON places (path, key) WHERE live = 1;
CREATE UNIQUE INDEX places_by_key ON places (key, number);
CREATE INDEX places_by_account ON places (key, root, uid);
CREATE INDEX places_due ON places (due) WHERE due IS NOT NULL;
CREATE INDEX places_by_flood ON places (flood, id) WHERE flood IS NOT NULL;
CREATE INDEX places_sealed ON places (acted) WHERE state = 'quarantined';
CREATE INDEX places_counted ON places (root, uid, counted) WHERE counted IS NOT NULL;
CREATE INDEX places_counted_by_key ON places (key, uid, counted) WHERE counted IS NOT NULL;
CREATE INDEX notes_by_case ON notes ("case", id);
CREATE UNIQUE INDEX floods_in_force ON floods (scope, root, subject)
        WHERE ruling IN ('open', 'stand-down');
CREATE INDEX floods_by_subject ON floods (scope, root, subject, ruled);
CREATE INDEX alerts_waiting ON alerts (channel, due) WHERE state = 'waiting';
CREATE INDEX alerts_ended ON alerts (channel, ended) WHERE ended IS NOT NULL;
CREATE INDEX contents_undetermined ON contents (id) WHERE outcome = 2;
CREATE INDEX uploads_by_key ON uploads (key, client, id);
CREATE INDEX uploads_by_client ON uploads (client, outcome, id);
CREATE INDEX uploads_by_age ON uploads (at);
CREATE INDEX places_counted_by_list ON places (list, uid, counted) WHERE counted IS NOT NULL;
CREATE INDEX reports_by_case ON reports ("case", id);
CREATE INDEX reports_unfinished ON reports (state, id) WHERE state IN ('draft', 'approved');
CREATE INDEX members_by_content ON members (content);
DELETE FROM "sqlite_sequence";
COMMIT;

BEGIN TRANSACTION;
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
CREATE TABLE recipes (id INTEGER PRIMARY KEY, text NOT NULL UNIQUE);
INSERT INTO "recipes" VALUES(1,'pdq/1 phash64/1');
INSERT INTO "recipes" VALUES(2,'sha1/1');
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
CREATE INDEX fingerprints_by_key ON fingerprints (substr(key, 1, 8));
CREATE INDEX files_by_content ON files (content) WHERE content IS NOT NULL;
CREATE INDEX files_by_inode ON files (ino, dev) WHERE linked = 1;
COMMIT;

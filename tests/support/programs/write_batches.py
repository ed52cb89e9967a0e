"""Write to a storage until killed, and print what was committed.

Each batch holds new contents with an answer and a verdict, names in a separate directory, and the
run's tally.  After its commit the number of the batch is printed.

With ``--killed``, each line of the input holds seconds: a forked writer is killed after that time,
and ``killed`` is printed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

from hashwacht.core.types import Answer, FileId, Fingerprint, Outcome, Signal, Verdict
from hashwacht.storage.answers import KnowledgeIds, StoredAnswers
from hashwacht.storage.contents import Contents, StoredVerdict
from hashwacht.storage.files import Files
from hashwacht.storage.runs import Runs
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.state_directory import RunLock
from support.stored import record_contents

FILES_IN_A_BATCH = 20


def fingerprint(batch: int, number: int) -> Fingerprint:
    """Return the fingerprint of one file of one batch."""
    digest = sha256(b"%d/%d" % (batch, number)).hexdigest()
    signals = (Signal("sha256", digest), Signal("pdq", digest[::-1], 90))
    return Fingerprint(digest, number, "image/jpeg", ("pdq/1",), signals)


def write(database: Database, run: int, batch: int) -> None:
    """Commit one batch."""
    prints = [fingerprint(batch, number) for number in range(FILES_IN_A_BATCH)]
    contents, files = Contents(database), Files(database)
    directory = b"/srv/%d" % batch
    with database.transaction():
        numbers = record_contents(database, prints, 1.0)
        answer = Answer("hashlist", Outcome.NO_MATCH, 1.0, "1")
        StoredAnswers(database).record([(number, answer) for number in numbers.values()])
        epoch = KnowledgeIds(database).resolve("hashlist 1")
        verdict = Verdict(Outcome.NO_MATCH)
        contents.record_verdicts(
            [StoredVerdict(number, verdict, epoch, 1.0) for number in numbers.values()]
        )
        looks = [
            (
                b"%d.jpg" % fingerprint.size,
                FileId(1, batch, fingerprint.size, 1, 1),
                1,
                numbers[fingerprint.key],
                None,
            )
            for fingerprint in prints
        ]
        files.record(directory, run, looks)
        files.mark_directory_done(directory, run)
        Runs(database).record_progress(run, str(batch), float(batch))


def write_on(path: Path) -> None:
    """Resume or start a run, and write until killed."""
    database = Database.open(path)
    lock = RunLock.acquire(path)
    runs = Runs(database)
    resumable = runs.load_resumable("scan", [b"/srv"], "{}")
    run = resumable or runs.start("scan", [b"/srv"], "{}", 0.0)
    lock.set_run(run.id)
    batch = int(resumable.tally) + 1 if resumable and resumable.tally != "{}" else 0
    while True:
        write(database, run.id, batch)
        os.write(1, b"%d\n" % batch)
        batch += 1


def kill_after(seconds: float, path: Path) -> None:
    """Fork a writer and kill it after so many seconds."""
    child = os.fork()
    if not child:
        write_on(path)
    time.sleep(seconds)  # no event to wait for: any moment is tested
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.write(1, b"killed\n")


if __name__ == "__main__":
    if sys.argv[2:] == ["--killed"]:
        for line in sys.stdin:
            kill_after(float(line), Path(sys.argv[1]))
    else:
        write_on(Path(sys.argv[1]))

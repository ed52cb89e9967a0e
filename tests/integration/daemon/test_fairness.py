"""What one customer causes does not delay the files of another."""

from __future__ import annotations

import time
from pathlib import Path

from hashwacht.core.watch_events import Announcement, Lane
from hashwacht.daemon.scanner.dispatcher import MAX_OF_ACCOUNT
from hashwacht.daemon.scanner.reader_threads import BATCH
from support.daemon.daemon_harness import DaemonHarness
from support.watch.watching import SilentWatch

FLOOD = 1500


def test_a_storm_of_one_account_does_not_delay_another(harness: DaemonHarness, root: Path) -> None:
    """However many files with long names wait before it: a few are judged, not all."""
    harness.watch = SilentWatch
    (root / "flood").mkdir()
    (root / "other").mkdir()
    waiting = []
    for number in range(FLOOD):
        path = root / "flood" / f"{number:05}{'n' * 245}"
        path.write_bytes(b"%d" % number)
        waiting.append(Announcement("uploads", bytes(path), account=bytes(root / "flood")))
    (root / "other/file").write_bytes(b"of another customer")
    other = Announcement("uploads", bytes(root / "other/file"), account=bytes(root / "other"))
    harness.store.journal.record([*waiting, other], Lane.UPLOAD, time.time())
    with harness.running():
        harness.wait_for(
            lambda: other.path in {file.path for file in harness.casework.files}, "judged"
        )
        judged = [file.path for file in list(harness.casework.files)]
        harness.wait_for(
            lambda: len({f.path for f in harness.casework.files}) > FLOOD, "all judged"
        )
    assert judged.index(other.path) <= MAX_OF_ACCOUNT + BATCH

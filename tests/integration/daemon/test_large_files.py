"""Large files do not delay others, and only a few of one owner are read at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hashwacht.core.ports import UploadTurn
from hashwacht.core.types import Fingerprint, Outcome
from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.readers import MAX_LARGE_OF_OWNER
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing.workers.large_contents import LARGE_SIZE
from support.daemon.daemon_harness import DaemonHarness, digest


@dataclass
class EndlessFingerprinter:
    """Fingerprints small contents; a large one is in progress until *release* is set."""

    release: threading.Event = field(default_factory=threading.Event)
    reading: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._inner = InProcessFingerprinter(Plan(("sha256",)))
        self.recipe, self.layers = self._inner.recipe, self._inner.layers

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        if os.fstat(fd).st_size <= LARGE_SIZE:
            return self._inner.fingerprint(fd, upload=upload)
        with self._lock:
            self.reading += 1
            self.most = max(self.most, self.reading)
        assert self.release.wait(60.0)
        with self._lock:
            self.reading -= 1
        return Fingerprint(os.urandom(32).hex(), 1, "", self.recipe, ())

    def fingerprint_small(self, fds: Sequence[int]) -> list[Fingerprint | None]:
        return [None] * len(fds)

    def open_stream(self) -> None:
        return None

    def close(self) -> None:
        self.release.set()


def test_large_files_delay_no_other_file(
    tmp_path: Path, root: Path, harness: DaemonHarness
) -> None:
    harness.close()
    endless = EndlessFingerprinter()
    harness = DaemonHarness(
        tmp_path / "state2", harness.roots, fingerprinter=lambda: endless, jobs=1
    )
    harness.matcher.known = harness.local.known = {digest(b"known")}
    with harness.running():
        for number in range(20):
            with (root / f"sparse{number}").open("wb") as file:
                file.truncate(1 << 40)
        harness.wait_for(lambda: endless.reading == MAX_LARGE_OF_OWNER, "reading large files")
        (root / "known").write_bytes(b"known")
        matching = {bytes(root / "known")}
        harness.wait_for(lambda: harness.casework.paths(Outcome.MATCH) == matching, "matched")
        harness.wait_for(lambda: not harness.store.journal.count()[Lane.UPLOAD], "without uploads")
        assert endless.reading == MAX_LARGE_OF_OWNER
        endless.release.set()
    assert endless.most == MAX_LARGE_OF_OWNER
    harness.close()

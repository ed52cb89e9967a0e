"""The case services in one directory: real storage, vault and files, and a manual clock."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from hashwacht.audit.log import FILE_NAME as AUDIT_FILE_NAME
from hashwacht.audit.log import AuditLog
from hashwacht.cases.case_opening import JudgedFile
from hashwacht.cases.decisions import CaseDecisions
from hashwacht.cases.evidence_check import EvidenceCheck, EvidenceFinding
from hashwacht.cases.file_actions import FileActions
from hashwacht.cases.ledger import LOCK_FILE_NAME, CaseLock, Ledger
from hashwacht.cases.service import CaseProcessor, CaseServices
from hashwacht.core.notice import Notice
from hashwacht.core.types import (
    Action,
    FileId,
    Fingerprint,
    Match,
    Outcome,
    Reason,
    Signal,
    Verdict,
)
from hashwacht.panels.sites import SiteMap
from hashwacht.platform.accounts import Account, Accounts
from hashwacht.quarantine.age import KeyPair, generate_key_pair
from hashwacht.quarantine.hold import FileHolder
from hashwacht.quarantine.hold_methods import HoldRecords
from hashwacht.quarantine.vault import Vault
from hashwacht.settings import (
    ActionLimitSettings,
    HoldKind,
    MatchAction,
    RootSettings,
    UndeterminedAction,
)
from hashwacht.storage.cases import Case
from hashwacht.storage.locations import FileLocation
from hashwacht.storage.store import Store
from support.clock import Clock

QUARANTINE = RootSettings(
    "www", on_exact_match=MatchAction.QUARANTINE, on_similar_match=MatchAction.HOLD
)
HOLD = RootSettings("www", on_exact_match=MatchAction.HOLD, on_undetermined=UndeterminedAction.HOLD)
OBSERVE = RootSettings("www")

UNANSWERED = Verdict(Outcome.UNDETERMINED, reason=Reason.UNANSWERED)
NO_MATCH = Verdict(Outcome.NO_MATCH)


class OwnedFiles(Accounts):
    """Owners of files that this user may not give away: device and inode number to user id."""

    def __init__(self) -> None:
        super().__init__()
        self.uids: dict[tuple[int, int], int] = {}

    def owner(self, fd: int) -> Account:
        """Return the chosen owner of an open file, else the real one."""
        status = os.fstat(fd)
        return self.of(self.uids.get((status.st_dev, status.st_ino), status.st_uid))


@dataclass
class CaseHarness:
    """The case services below *home*; call ``open`` first and ``close`` at the end."""

    home: Path
    root: RootSettings = QUARANTINE
    limits: ActionLimitSettings = field(default_factory=ActionLimitSettings)
    keys: KeyPair = field(default_factory=generate_key_pair)
    clock: Clock = field(default_factory=Clock)
    notices: list[Notice] = field(default_factory=list)
    owners: OwnedFiles = field(default_factory=OwnedFiles)
    imported_at: dict[str, float] = field(default_factory=dict)
    wrap: Callable[[FileActions], Any] = lambda file_actions: file_actions

    def open(self) -> CaseHarness:
        """Open the storage and build the services."""
        state = self.home / "state"
        self.files = self.home / "files"
        self.files.mkdir(exist_ok=True)
        self.store = Store.open(state)
        self.audit = AuditLog(state / AUDIT_FILE_NAME)
        self.uploads = self.store.uploads
        self.holder = FileHolder(state / "holds", HoldKind.MODE)
        self.lock = CaseLock(state / LOCK_FILE_NAME)
        self.ledger = Ledger(
            self.store, self.audit, self.notices.append, self.uploads, self.clock, "daemon"
        )
        self.seal_for(self.keys.public)
        return self

    def seal_for(self, *recipients: str) -> None:
        """Seal for these public keys from now on; without any, sealing fails."""
        self.vault = Vault(self.home / "state" / "quarantine", recipients, self.clock)
        self.file_actions: FileActions = self.wrap(FileActions(self.vault, self.holder))
        self.processor = self.with_root(self.root)

    def with_root(self, root: RootSettings) -> CaseProcessor:
        """Return a processor with another policy."""
        roots = {root.name: root}
        return CaseServices(
            self.ledger,
            self.file_actions,
            self.lock,
            roots,
            self.limits,
            self.owners,
            SiteMap(self.home / "state"),
            lambda: self.imported_at,
        ).processor()

    def file(self, name: str | bytes, content: bytes = b"known", uid: int | None = None) -> bytes:
        """Write a file, perhaps of another user, and return its path."""
        path = self.files / os.fsdecode(name)
        path.write_bytes(content)
        if uid is not None:
            status = path.stat()
            self.owners.uids[status.st_dev, status.st_ino] = uid
        return bytes(path)

    def apply(
        self, path: bytes, verdict: Verdict | None = None, *, root: RootSettings | None = None
    ) -> Action:
        """Apply a verdict to the file at *path* as the daemon does, with its descriptor."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            judged = self.judged(path, fd, verdict)
            return (self.with_root(root) if root else self.processor).apply_verdict(judged)
        finally:
            os.close(fd)

    def judged(self, path: bytes, fd: int, verdict: Verdict | None = None) -> JudgedFile:
        """Return an open file with a verdict; by default its SHA-256 matches."""
        content = os.pread(fd, 1 << 20, 0)
        key = sha256(content).hexdigest()
        signal = Signal("sha256", key)
        fingerprint = Fingerprint(key, len(content), "image/png", ("sha256/1",), (signal,))
        file_id = FileId.from_stat(os.fstat(fd))
        return JudgedFile("www", path, fd, file_id, fingerprint, (), verdict or match(signal))

    def recheck(self, path: bytes, judged: JudgedFile, verdict: Verdict) -> Action:
        """Apply a verdict as a recheck does: from stored signals, without a descriptor."""
        return self.processor.apply_verdict(replace(judged, path=path, fd=None, verdict=verdict))

    def retry(self, after: float = 0, *, root: RootSettings | None = None) -> None:
        """Run what is due *after* so many seconds, optionally with another policy."""
        self.clock.now += after
        (self.with_root(root) if root else self.processor).retry_due(self.clock.now)

    def decisions(self) -> CaseDecisions:
        """Return the object that carries out decisions."""
        return CaseDecisions(self.ledger, self.file_actions, self.lock)

    def evidence(self) -> list[EvidenceFinding]:
        """Return what audit log, storage, vault and holds contradict each other in."""
        check = EvidenceCheck(self.audit, self.store, self.vault, self.holder, self.lock)
        return check.run()

    @contextmanager
    def busy(self, path: bytes) -> Iterator[None]:
        """Lock the hold of a file, as another process does while it acts on the file."""
        status = at(path).stat()
        lock = HoldRecords(self.home / "state" / "holds").acquire((status.st_dev, status.st_ino))
        assert lock is not None
        with lock:
            yield

    def case(self) -> Case:
        """Return the only case."""
        (case,) = self.store.cases.load_latest(10)
        return case

    def locations(self) -> list[FileLocation]:
        """Return all locations of the only case, oldest first."""
        return self.store.locations.load_by_content(self.case().key)[::-1]

    def events(self) -> list[str]:
        """Return the events in the audit log, in order."""
        assert self.audit.verify() is None
        return [entry.act for entry in self.audit.entries()]

    def close(self) -> None:
        """Close the storage."""
        self.store.close()


def at(path: bytes) -> Path:
    """Return a path as a Path."""
    return Path(os.fsdecode(path))


def mode(path: bytes) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(at(path).stat().st_mode)


def match(*signals: Signal, known_good: Iterable[Match] = ()) -> Verdict:
    """Return a match verdict of a list for these signals."""
    matches = tuple(Match("hashlist", signal, 0, "csam", "police", "17") for signal in signals)
    good = tuple(known_good)
    if good:
        return Verdict(Outcome.NO_MATCH, suppressed=matches, suppressed_by=good)
    return Verdict(Outcome.MATCH, matches)


NEAR = match(Signal("pdq", "0" * 64, 100))
NOWHERE = FileId(0, 0, 0, 0, 0)
"""The identity of a path that the table of files no longer knows."""

"""A whole casework below one directory: real state, vault and files; our verdicts and clock."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from hashwacht.audit.log import FILE_NAME as AUDIT_NAME
from hashwacht.audit.log import AuditLog
from hashwacht.cases.case_lock import FILE_NAME as TURN_NAME
from hashwacht.cases.case_lock import CaseLock
from hashwacht.cases.case_opening import JudgedFile
from hashwacht.cases.decisions import CaseDecisions
from hashwacht.cases.file_actions import FileActions, VaultFileActions
from hashwacht.cases.ledger import Ledger
from hashwacht.cases.service import CaseProcessor
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
from hashwacht.core.upload_context import UploadContextStore
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


@dataclass
class Office:
    """Everything below *home*; ``open`` it, and ``close`` it at the end."""

    home: Path
    root: RootSettings = QUARANTINE
    guard: ActionLimitSettings = field(default_factory=ActionLimitSettings)
    keys: KeyPair = field(default_factory=generate_key_pair)
    clock: Clock = field(default_factory=Clock)
    notices: list[Notice] = field(default_factory=list)
    wrap: Callable[[FileActions], FileActions] = lambda file_actions: file_actions

    def open(self) -> Office:
        """Open the state, and build the parts."""
        state = self.home / "state"
        self.files = self.home / "files"
        self.files.mkdir(exist_ok=True)
        self.store = Store.open(state)
        self.audit = AuditLog(state / AUDIT_NAME)
        self.uploads = UploadContextStore(state / "uploads")
        self.held = FileHolder(state / "holds", HoldKind.MODE)
        self.lock = CaseLock(state / TURN_NAME)
        self.ledger = Ledger(
            self.store, self.audit, self.notices.append, self.uploads, self.clock, "daemon"
        )
        self.seal_for(self.keys.public)
        return self

    def seal_for(self, *recipients: str) -> None:
        """Seal for these public keys from now on; none: nothing can be sealed."""
        self.vault = Vault(self.home / "state" / "quarantine", recipients, self.clock)
        self.file_actions = self.wrap(VaultFileActions(self.vault, self.held))
        self.casework = self.with_root(self.root)

    def with_root(self, root: RootSettings) -> CaseProcessor:
        """Build it with another policy."""
        return CaseProcessor(
            ledger=self.ledger,
            file_actions=self.file_actions,
            lock=self.lock,
            roots={root.name: root},
            guard=self.guard,
        )

    def file(self, name: str | bytes, content: bytes = b"known") -> bytes:
        """Write a file and give its path."""
        path = self.files / os.fsdecode(name)
        path.write_bytes(content)
        return bytes(path)

    def settle(
        self, path: bytes, verdict: Verdict | None = None, *, root: RootSettings | None = None
    ) -> Action:
        """Settle what lies at a path as the daemon does, with its descriptor."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            found = self.found(path, fd, verdict)
            return (self.with_root(root) if root else self.casework).settle(found)
        finally:
            os.close(fd)

    def found(self, path: bytes, fd: int, verdict: Verdict | None = None) -> JudgedFile:
        """Say what was found out about an open file; a match if nothing else is said."""
        content = os.pread(fd, 1 << 20, 0)
        key = sha256(content).hexdigest()
        signal = Signal("sha256", key)
        print_ = Fingerprint(key, len(content), "image/png", ("sha256/1",), (signal,))
        return JudgedFile(
            "www", path, fd, FileId.from_stat(os.fstat(fd)), print_, (), verdict or match(signal)
        )

    def again(self, path: bytes, found: JudgedFile, verdict: Verdict) -> Action:
        """Settle as a recheck does: with what is stored, without a descriptor."""
        return self.casework.settle(replace(found, path=path, fd=None, verdict=verdict))

    def retry(self, after: float = 0, *, root: RootSettings | None = None) -> None:
        """Do what is due when so many seconds have gone by, with another policy if one is given."""
        self.clock.now += after
        (self.with_root(root) if root else self.casework).retry(self.clock.now)

    def decisions(self) -> CaseDecisions:
        """Give the desk at which people decide."""
        return CaseDecisions(self.ledger, self.file_actions, self.lock)

    @contextmanager
    def busy(self, path: bytes) -> Iterator[None]:
        """Have another process hold or release a file at this moment."""
        found = at(path).stat()
        claim = HoldRecords(self.home / "state" / "holds").acquire((found.st_dev, found.st_ino))
        assert claim is not None
        with claim:
            yield

    def case(self) -> Case:
        """Give the only case."""
        (case,) = self.store.cases.load_latest(10)
        return case

    def places(self) -> list[FileLocation]:
        """Give all places of the only case, the oldest first."""
        return self.store.locations.load_by_content(self.case().key)[::-1]

    def acts(self) -> list[str]:
        """Give what the audit log tells, in order."""
        assert self.audit.verify() is None
        return [entry.act for entry in self.audit.entries()]

    def close(self) -> None:
        """Close the state."""
        self.store.close()


def at(path: bytes) -> Path:
    """Give a path as a Path."""
    return Path(os.fsdecode(path))


def mode(path: bytes) -> int:
    """Give the permissions of a file."""
    return stat.S_IMODE(at(path).stat().st_mode)


def match(*signals: Signal, known_good: Iterable[Match] = ()) -> Verdict:
    """Make the verdict that a list knows these signals."""
    found = tuple(Match("hashlist", each, 0, "csam", "police", "17") for each in signals)
    good = tuple(known_good)
    if good:
        return Verdict(Outcome.NO_MATCH, suppressed=found, suppressed_by=good)
    return Verdict(Outcome.MATCH, found)


NEAR = match(Signal("pdq", "0" * 64, 100))
NOWHERE = FileId(0, 0, 0, 0, 0)
"""What the daemon says of a path that its own table of files has lost sight of."""

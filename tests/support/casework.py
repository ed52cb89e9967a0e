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
from hashwacht.cases.case_lock import Turn
from hashwacht.cases.case_opening import Found
from hashwacht.cases.decisions import Desk
from hashwacht.cases.file_actions import FileHands, Hands
from hashwacht.cases.ledger import Book
from hashwacht.cases.service import Casework
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
from hashwacht.core.upload_context import Uploads
from hashwacht.quarantine.age import KeyPair, make_key_pair
from hashwacht.quarantine.hold import Hold
from hashwacht.quarantine.hold_methods import Ledger
from hashwacht.quarantine.vault import Vault
from hashwacht.settings import GuardSettings, HoldKind, OnMatch, OnUndetermined, RootSettings
from hashwacht.storage.cases import Case
from hashwacht.storage.locations import Place
from hashwacht.storage.store import Store
from support.clock import Clock

QUARANTINE = RootSettings("www", exact=OnMatch.QUARANTINE, near=OnMatch.HOLD)
HOLD = RootSettings("www", exact=OnMatch.HOLD, undetermined=OnUndetermined.HOLD)
OBSERVE = RootSettings("www")

UNANSWERED = Verdict(Outcome.UNDETERMINED, reason=Reason.UNANSWERED)
NO_MATCH = Verdict(Outcome.NO_MATCH)


@dataclass
class Office:
    """Everything below *home*; ``open`` it, and ``close`` it at the end."""

    home: Path
    root: RootSettings = QUARANTINE
    guard: GuardSettings = field(default_factory=GuardSettings)
    keys: KeyPair = field(default_factory=make_key_pair)
    clock: Clock = field(default_factory=Clock)
    notices: list[Notice] = field(default_factory=list)
    wrap: Callable[[Hands], Hands] = lambda hands: hands

    def open(self) -> Office:
        """Open the state, and build the parts."""
        state = self.home / "state"
        self.files = self.home / "files"
        self.files.mkdir(exist_ok=True)
        self.store = Store.open(state)
        self.audit = AuditLog(state / AUDIT_NAME)
        self.uploads = Uploads(state / "uploads")
        self.held = Hold(state / "holds", HoldKind.MODE)
        self.turn = Turn(state / TURN_NAME)
        self.book = Book(
            self.store, self.audit, self.notices.append, self.uploads, self.clock, "daemon"
        )
        self.seal_for(self.keys.public)
        return self

    def seal_for(self, *recipients: str) -> None:
        """Seal for these public keys from now on; none: nothing can be sealed."""
        self.vault = Vault(self.home / "state" / "quarantine", recipients, self.clock)
        self.hands = self.wrap(FileHands(self.vault, self.held))
        self.casework = self.with_root(self.root)

    def with_root(self, root: RootSettings) -> Casework:
        """Build it with another policy."""
        return Casework(
            book=self.book,
            hands=self.hands,
            turn=self.turn,
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

    def found(self, path: bytes, fd: int, verdict: Verdict | None = None) -> Found:
        """Say what was found out about an open file; a match if nothing else is said."""
        content = os.pread(fd, 1 << 20, 0)
        key = sha256(content).hexdigest()
        signal = Signal("sha256", key)
        print_ = Fingerprint(key, len(content), "image/png", ("sha256/1",), (signal,))
        return Found("www", path, fd, FileId.of(os.fstat(fd)), print_, (), verdict or match(signal))

    def again(self, path: bytes, found: Found, verdict: Verdict) -> Action:
        """Settle as a recheck does: with what is stored, without a descriptor."""
        return self.casework.settle(replace(found, path=path, fd=None, verdict=verdict))

    def retry(self, after: float = 0, *, root: RootSettings | None = None) -> None:
        """Do what is due when so many seconds have gone by, with another policy if one is given."""
        self.clock.now += after
        (self.with_root(root) if root else self.casework).retry(self.clock.now)

    def desk(self) -> Desk:
        """Give the desk at which people decide."""
        return Desk(self.book, self.hands, self.turn)

    @contextmanager
    def busy(self, path: bytes) -> Iterator[None]:
        """Have another process hold or release a file at this moment."""
        found = at(path).stat()
        claim = Ledger(self.home / "state" / "holds").claim((found.st_dev, found.st_ino))
        assert claim is not None
        with claim:
            yield

    def case(self) -> Case:
        """Give the only case."""
        (case,) = self.store.cases.latest(10)
        return case

    def places(self) -> list[Place]:
        """Give all places of the only case, the oldest first."""
        return self.store.places.of(self.case().key)[::-1]

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

"""The book of cases: what is written together, durably, or not at all.

A *page* is one transaction of the state that waits for the disk, with its lines in the audit log
and its notices.  The lines are on the disk before the transaction is committed, so nothing is
ever recorded that the log does not tell; a crash between the two can make the log tell it twice,
with the same numbers of case and place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditLog
from hashwacht.cases.case_json import CaseFile
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.core.paths import to_json
from hashwacht.core.upload_context import UploadContext, UploadContextStore
from hashwacht.storage.cases import Case
from hashwacht.storage.locations import FileLocation
from hashwacht.storage.store import Store

MAX_LISTED = 100
"""Places and notes of a case that are looked at when it is told."""


@dataclass
class LedgerTransaction:
    """What is being written, at *now* (Unix seconds)."""

    ledger: Ledger
    now: float
    lines: list[tuple[str, Mapping[str, JSON]]] = field(default_factory=list)

    def audit(self, act: str, **facts: JSON) -> None:
        """Have a line in the audit log."""
        self.lines.append((act, facts))

    def record_case(self, case: Case, act: str, **facts: JSON) -> Case:
        """Keep a case, with a line about it."""
        kept = self.ledger.store.cases.record(case)
        self.audit(act, case=kept.id, sha256=case.key, state=str(case.state), **facts)
        return kept

    def record_location(self, place: FileLocation, act: str = "", **facts: JSON) -> FileLocation:
        """Keep a place, with a line about it if *act* is not empty."""
        kept = self.ledger.store.locations.record(place)
        if act:
            self.audit(act, **self.ledger.location_facts(kept), **facts)
        return kept

    def notify(self, kind: NoticeKind, summary: str, case: Case | None) -> None:
        """Have people told."""
        text = self.ledger.case_file(case).to_notice_text() if case is not None else ""
        self.ledger.notify(Notice(kind, self.now, summary, text))


@dataclass(frozen=True)
class Ledger:
    """The state, the audit log and the outbox as one.  *who* is written into the log."""

    store: Store
    log: AuditLog
    notify: Callable[[Notice], None]
    uploads: UploadContextStore
    clock: Callable[[], float]
    who: str

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """Write a page.  Raises StorageError; then nothing of it is kept."""
        with self.store.transaction(durable=True):
            transaction = LedgerTransaction(self, self.clock())
            yield transaction
            self.log.append_all(self.who, transaction.lines)

    def case_file(self, case: Case, most: int = MAX_LISTED) -> CaseFile:
        """Give everything about a case, with its newest places and notes."""
        return CaseFile(
            case,
            self.store.locations.load_by_content(case.key, most),
            self.store.locations.count_by_state(case.key),
            self.store.cases.load_notes(case.id, most),
            self._told(case.key),
        )

    def location_facts(self, place: FileLocation) -> dict[str, JSON]:
        """Say which place it is, for the audit log."""
        case = self.store.cases.load_by_key(place.key)
        return {
            "case": case.id if case else None,
            "file": place.number,
            "sha256": place.key,
            "root": place.root,
            **to_json(place.path),
            "uid": place.uid,
            "account": place.account,
            "rule": place.rule,
        }

    def _told(self, key: str) -> list[UploadContext]:
        """Give what requests told; a file that cannot be read stops no case."""
        try:
            return self.uploads.load(key)
        except (OSError, ValueError, TypeError):
            return []

"""The ledger of cases: what is recorded together, durably, or not at all.

``CaseLock`` admits one action at a time, whichever process performs it, so that the daemon and
commands never race.  Its holder reads a case, decides, acts and records; hence a location that it
finds *pending* was left so by a crash.  The lock ends with its process (flock(2)).

A ``LedgerTransaction`` is one durable transaction of the storage, with its audit entries and
notices.  The entries are on disk before the transaction is committed, so nothing is recorded that
the audit log lacks; a crash between the two can repeat entries, with the same case and file
numbers.  The storage keeps the number and hash of the last entry that it belongs to.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditLog
from hashwacht.cases.case_rendering import CaseFile
from hashwacht.core.errors import StorageBusy
from hashwacht.core.events import Event, event_fields
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.core.paths import to_json
from hashwacht.platform.atomic import chown_like_directory
from hashwacht.platform.locks import FileLock
from hashwacht.storage.cases import Case
from hashwacht.storage.locations import FileLocation
from hashwacht.storage.sqlite.state_directory import open_error
from hashwacht.storage.store import Store
from hashwacht.storage.uploads import UploadRecords

_log = logging.getLogger(__name__)

LOCK_FILE_NAME = "cases.lock"
"""The lock file, in the state directory."""

LOCK_TIMEOUT = 300.0
"""Seconds to wait for another process: sealing some gigabytes takes a minute."""

MAX_LISTED = 100
"""Locations and notes of a case that are loaded to describe it."""


class CaseLock:
    """The lock for actions on files, at *path*; waits *timeout* seconds.

    Thread-safe; not reentrant.
    """

    def __init__(self, path: Path, timeout: float = LOCK_TIMEOUT) -> None:
        self._path, self._timeout = path, timeout

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Hold the lock.  Raises StorageBusy if another process keeps it too long, StorageError."""
        try:
            lock = FileLock.acquire(self._path, timeout=self._timeout)
        except OSError as error:
            raise open_error(error, self._path) from error
        if lock is None:
            raise StorageBusy(
                f"another process has been acting on a file for {self._timeout:g} s",
                advice="Check the daemon with `hashwacht status`, then try again.",
            )
        with lock:
            try:
                chown_like_directory(lock.fd, self._path)
            except OSError as error:
                raise open_error(error, self._path) from error
            yield


_EVENTS: Mapping[NoticeKind, Event] = MappingProxyType(
    {
        NoticeKind.CASE: Event.MATCH,
        NoticeKind.FLOOD: Event.ACTION_LIMIT_REACHED,
        NoticeKind.GAP: Event.GAP_OPENED,
        NoticeKind.OUTAGE: Event.MATCHER_DOWN,
        NoticeKind.TROUBLE: Event.ACTION_FAILED,
    }
)


def with_logging(notify: Callable[[Notice], None]) -> Callable[[Notice], None]:
    """Return a function that logs a notice and then passes it to *notify*."""

    def log_and_notify(notice: Notice) -> None:
        log_notice(notice)
        notify(notice)

    return log_and_notify


def log_notice(notice: Notice) -> None:
    """Write a notice to this process's log."""
    number = str(json.loads(notice.case)["case"]) if notice.case else ""
    _log.warning("%s", notice.summary, extra=event_fields(_EVENTS[notice.kind], case=number))


@dataclass
class LedgerTransaction:
    """What is recorded at *now* (Unix seconds)."""

    ledger: Ledger
    now: float
    entries: list[tuple[str, Mapping[str, JSON]]] = field(default_factory=list)

    def audit(self, event: str, **facts: JSON) -> None:
        """Add an entry to the audit log."""
        self.entries.append((event, facts))

    def record_case(self, case: Case, event: str, **facts: JSON) -> Case:
        """Record a case, with an audit entry."""
        stored = self.ledger.store.cases.record(case)
        self.audit(event, case=stored.id, sha256=case.key, state=str(case.state), **facts)
        return stored

    def record_location(
        self, location: FileLocation, event: str = "", **facts: JSON
    ) -> FileLocation:
        """Record a location, with an audit entry if *event* is not empty."""
        stored = self.ledger.store.locations.record(location)
        if event:
            self.audit(event, **self.ledger.location_facts(stored), **facts)
        return stored

    def notify(self, kind: NoticeKind, summary: str, case: Case | None) -> None:
        """Queue a notice."""
        text = self.ledger.case_file(case).to_notice_text() if case is not None else ""
        self.ledger.notify(Notice(kind, self.now, summary, text))

    def log_match(self, summary: str, case: Case) -> None:
        """Log a match for which no notice is sent."""
        text = json.dumps({"case": case.id})
        self.ledger.log_only(Notice(NoticeKind.CASE, self.now, summary, text))


@dataclass(frozen=True)
class Ledger:
    """The storage, the audit log and the outbox as one; *who* appears in the audit log.

    *log_only* logs what is too much for a notice.
    """

    store: Store
    log: AuditLog
    notify: Callable[[Notice], None]
    uploads: UploadRecords
    clock: Callable[[], float]
    who: str
    log_only: Callable[[Notice], None] = lambda _: None

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """Open a transaction.  Raises StorageError; then nothing of it is recorded."""
        with self.store.transaction(durable=True):
            transaction = LedgerTransaction(self, self.clock())
            yield transaction
            head = self.log.append_all(self.who, transaction.entries)
            if head is not None:
                self.store.cases.record_audit_head(head.seq, head.hash)

    def case_file(self, case: Case, limit: int = MAX_LISTED) -> CaseFile:
        """Return everything about a case, with its newest locations and notes."""
        try:
            uploads = self.uploads.load(case.key)
        except (OSError, ValueError, TypeError):  # unreadable: the rest is shown
            uploads = []
        newest = self.store.locations.load_by_content(case.key, limit)
        counts = self.store.locations.count_by_state(case.key)
        notes = self.store.cases.load_notes(case.id, limit)
        reports = self.store.case_reports.load_latest(limit, case=case.id)
        return CaseFile(case, newest, counts, notes, uploads, reports)

    def location_facts(self, location: FileLocation) -> dict[str, JSON]:
        """Return the facts that identify a location in the audit log."""
        case = self.store.cases.load_by_key(location.key)
        return {
            "case": case.id if case else None,
            "file": location.number,
            "sha256": location.key,
            "root": location.root,
            **to_json(location.path),
            "uid": location.uid,
            "account": location.account,
            "rule": location.rule,
        }

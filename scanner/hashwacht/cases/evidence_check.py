"""The cross-check of audit log, storage, vault and holds: each must have what the others record.

One of them alone can be intact and yet be an older copy, or lack an entry.  Together they show it:
both end with the same act, every case and file in the log is in the storage in the state of its
last act, every sealed file has its vault entry with the record that the log knows, every held file
has the record of its hold, and the other way round.  One older copy of all of them is detected only
with a checkpoint that is kept elsewhere (see :mod:`hashwacht.audit.log`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from hashwacht.audit.log import AuditEvent, AuditLog
from hashwacht.cases.actions import INTERRUPTED_STATES
from hashwacht.cases.case_locations import UNDETERMINED
from hashwacht.cases.ledger import CaseLock
from hashwacht.cases.recorded_evidence import RecordedEvidence, RecordedFile
from hashwacht.core.text import plural
from hashwacht.core.types import FileId
from hashwacht.quarantine.hold import FileHolder
from hashwacht.quarantine.record import EntryRecord, EntryState
from hashwacht.quarantine.vault import Vault
from hashwacht.settings import HoldKind
from hashwacht.storage.locations import FileLocation, LocationState
from hashwacht.storage.store import Store

Files = dict[tuple[str, int], FileLocation]

_STATES: Mapping[str, frozenset[LocationState]] = {
    AuditEvent.QUARANTINED: frozenset(
        {LocationState.QUARANTINED, LocationState.RESTORING, LocationState.DESTROYING}
    ),
    AuditEvent.RESTORED: frozenset({LocationState.RESTORED}),
    AuditEvent.DESTROYED: frozenset({LocationState.DESTROYED}),
    AuditEvent.GONE: frozenset({LocationState.GONE}),
}
"""The states in which the storage may have a file after its last act."""

_ACTS: Mapping[LocationState, AuditEvent] = {
    LocationState.QUARANTINED: AuditEvent.QUARANTINED,
    LocationState.RESTORED: AuditEvent.RESTORED,
    LocationState.DESTROYED: AuditEvent.DESTROYED,
    LocationState.RELEASED: AuditEvent.RELEASED,
}
"""The acts that the log must have for a file in these states."""

_ENTRY_STATES: Mapping[str, EntryState] = {
    AuditEvent.QUARANTINED: EntryState.SEALED,
    AuditEvent.RESTORED: EntryState.RESTORED,
    AuditEvent.DESTROYED: EntryState.DESTROYED,
}


@dataclass(frozen=True, slots=True)
class EvidenceFinding:
    """A contradiction; *subject* is a case, a file of one, or a vault entry (*vault* its id)."""

    subject: str
    problem: str
    vault: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.problem}"


class EvidenceCheck:
    """Compares the *audit* log with the storage (None if there is none), *vault* and *holder*."""

    def __init__(
        self, audit: AuditLog, store: Store | None, vault: Vault, holder: FileHolder, lock: CaseLock
    ) -> None:
        self._audit, self._store = audit, store
        self._vault, self._holder, self._lock = vault, holder, lock

    def run(self) -> list[EvidenceFinding]:
        """Return all contradictions that were not accepted.  Raises StorageError.

        What seems to be one while another process is acting is compared again under the lock.
        """
        if not self._compare():
            return []
        with self._lock.acquire(), self._transaction():
            return self._compare()

    def _transaction(self) -> AbstractContextManager[object]:
        """Keep other processes from writing to the storage meanwhile."""
        return nullcontext() if self._store is None else self._store.transaction()

    def _compare(self) -> list[EvidenceFinding]:
        head = None if self._store is None else self._store.cases.load_audit_head()
        recorded = RecordedEvidence.replay(self._audit.entries(), head)
        files = {(file.key, file.number): file for file in self._locations()}
        findings = [
            *_check_head(recorded),
            *self._check_cases(recorded),
            *self._check_files(recorded, files),
            *self._check_vault(recorded, files),
        ]
        return [finding for finding in findings if str(finding) not in recorded.accepted]

    def _locations(self) -> list[FileLocation]:
        return [] if self._store is None else self._store.locations.load_all()

    def _check_cases(self, recorded: RecordedEvidence) -> Iterator[EvidenceFinding]:
        cases = {} if self._store is None else {c.id: c for c in self._store.cases.load_all()}
        for number, case in recorded.cases.items():
            subject, stored = f"case {number}", cases.get(number)
            if stored is None:
                yield EvidenceFinding(subject, "it is in the audit log, not in the storage")
            elif stored.key != case.key:
                yield EvidenceFinding(subject, "the audit log has it with another content")
            elif stored.state != case.state:
                problem = f"{stored.state} in the storage, {case.state} in the audit log"
                yield EvidenceFinding(subject, problem)
        for number in cases.keys() - recorded.cases.keys():
            yield EvidenceFinding(f"case {number}", "it is in the storage, not in the audit log")

    def _check_files(self, recorded: RecordedEvidence, files: Files) -> Iterator[EvidenceFinding]:
        for name, file in recorded.files.items():
            location, subject = files.get(name), _subject(name, file)
            if location is None:
                if not _is_removed(file):
                    yield EvidenceFinding(subject, "it is in the audit log, not in the storage")
            elif not _is_consistent(file.act, location.state):
                problem = f"{location.state} in the storage, {file.act} in the audit log"
                yield EvidenceFinding(subject, problem)
            elif location.state is LocationState.HELD and location.held == HoldKind.MODE:
                yield from self._check_hold(subject, file, location)
        for name, location in files.items():
            file, act = recorded.files.get(name, RecordedFile()), _ACTS.get(location.state)
            if act is not None and not file.act:
                problem = f"{location.state} in the storage, without an act in the audit log"
                yield EvidenceFinding(_subject(name, file), problem)

    def _check_hold(
        self, subject: str, file: RecordedFile, location: FileLocation
    ) -> Iterator[EvidenceFinding]:
        hold = self._holder.find((location.file.dev, location.file.ino))
        if hold is None:
            if _is_blocked(location):  # else it was released, perhaps under another name
                yield EvidenceFinding(subject, "the record of its hold is missing or damaged")
        elif file.mode and f"{hold.mode:04o}" != file.mode:
            problem = f"its hold would restore mode {hold.mode:04o}, in the log it is {file.mode}"
            yield EvidenceFinding(subject, problem)
        elif file.mode and hold.uid != file.owner:
            problem = f"its hold would restore owner {hold.uid}, in the log it is {file.owner}"
            yield EvidenceFinding(subject, problem)

    def _check_vault(self, recorded: RecordedEvidence, files: Files) -> Iterator[EvidenceFinding]:
        """Check every entry that the log has sealed, then the entries that it does not know."""
        interrupted = {f.key for f in files.values() if f.state in INTERRUPTED_STATES}
        sealed = {file.vault: (name, file) for name, file in recorded.files.items() if file.vault}
        for id_, (name, file) in sealed.items():
            if name[0] not in interrupted and (problem := self._entry_problem(id_, name, file)):
                yield EvidenceFinding(f"vault entry {id_} ({_subject(name, file)})", problem, id_)
        for record in self._vault.records():
            is_known = record.id in sealed or record.key in interrupted
            if not is_known and not record.state.is_unfinished:
                problem = f"{record.state}, but the audit log has no act for it"
                yield EvidenceFinding(f"vault entry {record.id}", problem, record.id)

    def _entry_problem(self, id_: str, name: tuple[str, int], file: RecordedFile) -> str:
        """Return what contradicts the log in a vault entry, empty if nothing does."""
        record, expected = self._vault.find(id_), _ENTRY_STATES.get(file.act)
        if record is None:
            return "it is missing, or its record is damaged"
        if record.key != name[0]:
            return "its record is about another content"
        if expected is not None and record.state is not expected:
            return f"its record says {record.state}, the audit log {file.act}"
        if file.record and not _is_recorded(record, file.record):
            return "its record was changed after the act that the audit log describes"
        return ""


def _check_head(recorded: RecordedEvidence) -> Iterator[EvidenceFinding]:
    """Compare the ends of log and storage: each transaction writes to both."""
    if recorded.head is None:
        return
    if not recorded.has_head:
        problem = f"it lacks entry {recorded.head[0]}, to which the storage belongs"
        yield EvidenceFinding("audit log", f"{problem}: it was cut, or is another copy")
    elif recorded.later_acts:
        acts = plural(recorded.later_acts, "act")
        problem = f"it lacks the last {acts} of the audit log: it is an older copy, or a crash"
        yield EvidenceFinding("storage", f"{problem} interrupted it")


def _is_recorded(record: EntryRecord, digest: str) -> bool:
    return record.state.is_unfinished or record.digest == digest


def _is_consistent(act: str, state: LocationState) -> bool:
    """Return True if a file may have that state after its last settling act."""
    if act in _STATES:
        return state in _STATES[act]
    if act == AuditEvent.RELEASED and state is LocationState.HELD:
        return False
    required = _ACTS.get(state)
    return not act or required is None or required == act


def _is_blocked(location: FileLocation) -> bool:
    """Return whether the file is still at its path, without any permission."""
    try:
        status = os.lstat(location.path)
    except OSError:
        return False
    current = FileId.from_stat(status)
    same = (current.dev, current.ino) == (location.file.dev, location.file.ino)
    return same and stat.S_IMODE(status.st_mode) == 0


def _is_removed(file: RecordedFile) -> bool:
    """Return True for a file without a case: its location ends with its action."""
    return file.case is None or file.rule == UNDETERMINED


def _subject(name: tuple[str, int], file: RecordedFile) -> str:
    key, number = name
    owner = f"content {key[:12]}…" if file.case is None else f"case {file.case}"
    return f"{owner} file {number}"

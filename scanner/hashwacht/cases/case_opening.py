"""Opening a case for a judged file, and updating it with later verdicts.

``reopen`` opens a file that was judged some time ago, and only if its content is the same.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from hashlib import sha256

from hashwacht.audit.log import AuditEvent
from hashwacht.cases.case_rendering import withdrawal_summary
from hashwacht.cases.ledger import LedgerTransaction
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Answer, FileId, Fingerprint, Outcome, Verdict
from hashwacht.platform.safe_open import FileChanged, OpenDirectory, read_consistent
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.staging import file_id
from hashwacht.storage.cases import Case, CaseState, Evidence

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """One file and the verdict on its content.

    *root* is the configured name, *path* absolute bytes.  *fd* is the open descriptor that was
    hashed; None after a recheck of stored signals: then the file is opened by its path, and must
    be the one that *id* identifies or have the same content.
    """

    root: str
    path: bytes
    fd: int | None
    id: FileId
    fingerprint: Fingerprint
    answers: tuple[Answer, ...]
    verdict: Verdict

    @property
    def key(self) -> str:
        """The SHA-256 of the content."""
        return self.fingerprint.key


def reopen(path: bytes, key: str, file: FileId) -> int | ActionFailure:
    """Open the file at *path* if it is the unchanged *file*, or has the content *key* (SHA-256).

    The caller closes the descriptor.
    """
    directory, _, name = path.rpartition(b"/")
    try:
        with OpenDirectory.at(directory or b"/", listable=False) as parent:
            if (current := file_id(parent, name)) is None:
                return ActionFailure(FailureReason.GONE)
            fd = parent.file(name, current)
    except (FileNotFoundError, NotADirectoryError):
        return ActionFailure(FailureReason.GONE)
    except FileChanged as error:
        return ActionFailure(FailureReason.REPLACED, error.message)
    except OSError as error:
        return ActionFailure(FailureReason.UNREADABLE, error.strerror or type(error).__name__)
    if (failure := _check_content(fd, key, file)) is not None:
        os.close(fd)
        return failure
    return fd


def _check_content(fd: int, key: str, file: FileId) -> ActionFailure | None:
    """Return a failure if the content is another one; new times alone do not matter."""
    current = FileId.from_stat(os.fstat(fd))
    if current == file:
        return None
    try:
        _, digest = read_consistent(fd, _digest)
    except FileChanged as error:
        return ActionFailure(FailureReason.CHANGED, error.message)
    except OSError as error:
        return ActionFailure(FailureReason.UNREADABLE, error.strerror or type(error).__name__)
    if digest == key:
        return None
    same_file = (current.dev, current.ino) == (file.dev, file.ino)
    reason = FailureReason.REWRITTEN if same_file else FailureReason.REPLACED
    return ActionFailure(reason, "it has another content now")


def _digest(fd: int) -> str:
    digest = sha256()
    while chunk := os.read(fd, _CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def open_case(transaction: LedgerTransaction, judged: JudgedFile) -> Case | None:
    """Record the verdict in the case of its content and return the case; None if there is none.

    A match opens a case.  A match that a known-good list suppressed opens one too, which is only
    recorded.  An undetermined verdict changes nothing.
    """
    verdict, case = judged.verdict, transaction.ledger.store.cases.load_by_key(judged.key)
    if case is not None:
        return _update(transaction, case, verdict)
    if verdict.outcome is Outcome.UNDETERMINED or not (verdict.matches or verdict.suppressed):
        return None
    fingerprint, is_match = judged.fingerprint, verdict.outcome is Outcome.MATCH
    evidence, now = Evidence.from_verdict(verdict), transaction.now
    return transaction.record_case(
        Case(
            id=0,
            key=fingerprint.key,
            size=fingerprint.size,
            kind=fingerprint.kind,
            state=CaseState.OPEN if is_match else CaseState.SUPPRESSED,
            opened=now,
            updated=now,
            evidence=evidence,
        ),
        AuditEvent.CASE_OPENED if is_match else AuditEvent.SUPPRESSED,
        evidence=evidence.to_json(),
    )


def _update(transaction: LedgerTransaction, case: Case, verdict: Verdict) -> Case:
    """Record a further verdict: more or other matches, or none any more."""
    evidence, state = Evidence.from_verdict(verdict, case.evidence), case.state
    if verdict.outcome is Outcome.MATCH and state is not CaseState.RELEASED:
        state = CaseState.OPEN
    if (evidence, state) == (case.evidence, case.state):
        return case
    updated = replace(case, state=state, evidence=evidence, updated=transaction.now)
    stored = transaction.record_case(
        updated, _update_event(case, updated), evidence=evidence.to_json()
    )
    withdrawn = case.evidence.outcome is Outcome.MATCH and evidence.outcome is not Outcome.MATCH
    if case.state is CaseState.OPEN and withdrawn:
        transaction.notify(NoticeKind.CASE, withdrawal_summary(stored), stored)
    return stored


def _update_event(before: Case, after: Case) -> AuditEvent:
    if after.state is not before.state:
        return AuditEvent.CASE_OPENED
    suppressed = after.evidence.outcome is not Outcome.MATCH and after.evidence.suppressed
    return AuditEvent.SUPPRESSED if suppressed else AuditEvent.CASE_CHANGED

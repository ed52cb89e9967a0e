"""Opening a case for a judged file or a reported upload, and updating it with later verdicts.

The files of uploads that web applications reported are in no watched root, so such a content has no
location.  It may match at once or weeks later, when a list has grown; its case then holds what the
requests reported (Regulation (EU) 2022/2065, article 18).
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace
from hashlib import sha256

from hashwacht.audit.log import AuditEvent
from hashwacht.cases.case_rendering import upload_summary, withdrawal_summary
from hashwacht.cases.ledger import CaseLock, Ledger, LedgerTransaction
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Answer, FileId, Fingerprint, Outcome, Verdict
from hashwacht.core.verdict import judge
from hashwacht.platform.filesystems.responsiveness import RESPONSE_PROBE
from hashwacht.platform.safe_open import FileChanged, OpenDirectory, read_consistent
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.staging import file_id
from hashwacht.storage.cases import Case, CaseState, Evidence
from hashwacht.storage.contents import StoredContent

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
        if RESPONSE_PROBE.is_hanging(path):
            raise TimeoutError(errno.ETIMEDOUT, "its file system does not respond")
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
    state, event = CaseState.SUPPRESSED, AuditEvent.SUPPRESSED
    if verdict.outcome is Outcome.MATCH:
        state, event = CaseState.OPEN, AuditEvent.CASE_OPENED
    evidence, now = Evidence.from_verdict(verdict), transaction.now
    key, size, kind = judged.key, judged.fingerprint.size, judged.fingerprint.kind
    opened = Case(0, key, size, kind, state, now, now, evidence)
    return transaction.record_case(opened, event, evidence=evidence.to_json())


def _update(transaction: LedgerTransaction, case: Case, verdict: Verdict) -> Case:
    """Record a further verdict: more or other matches, or none any more."""
    evidence, state = Evidence.from_verdict(verdict, case.evidence), case.state
    if verdict.outcome is Outcome.MATCH and state is not CaseState.RELEASED:
        state = CaseState.OPEN
    if (evidence, state) == (case.evidence, case.state):
        return case
    updated = replace(case, state=state, evidence=evidence, updated=transaction.now)
    event = _update_event(case, updated)
    stored = transaction.record_case(updated, event, evidence=evidence.to_json())
    withdrawn = case.evidence.outcome is Outcome.MATCH and evidence.outcome is not Outcome.MATCH
    if case.state is CaseState.OPEN and withdrawn:
        transaction.notify(NoticeKind.CASE, withdrawal_summary(stored), stored)
    return stored


def _update_event(before: Case, after: Case) -> AuditEvent:
    if after.state is not before.state:
        return AuditEvent.CASE_OPENED
    suppressed = after.evidence.outcome is not Outcome.MATCH and after.evidence.suppressed
    return AuditEvent.SUPPRESSED if suppressed else AuditEvent.CASE_CHANGED


class UploadCases:
    """Opens missing cases of uploads, and removes reports that lead to none.  Thread-safe."""

    def __init__(self, ledger: Ledger, lock: CaseLock) -> None:
        self._ledger, self._lock = ledger, lock

    def open_all(self) -> int:
        """Call ``open_one`` for every reported content; return how many cases were opened.

        May be repeated at any time.  Raises StorageError.
        """
        return sum(self.open_one(key) for key in list(self._ledger.uploads.keys()))

    def open_one(self, key: str) -> bool:
        """Open the case of one content if it was reported and matches; True if it is new.

        The reports about a content that is found unknown are of no more use and are removed.
        Raises StorageError.
        """
        store, uploads = self._ledger.store, self._ledger.uploads
        reported_at = uploads.last_recorded_at(key)
        if reported_at is None or store.cases.load_by_key(key) is not None:
            return False
        for content in store.contents.load(store.contents.load_ids([key]).values()).values():
            if content.outcome is Outcome.MATCH:
                with self._lock.acquire(), self._ledger.transaction() as transaction:
                    return _open(transaction, content)
            if _is_unknown(content, reported_at):
                uploads.remove(key)
        return False


def _is_unknown(content: StoredContent, reported_at: float) -> bool:
    """Return True if a content has never matched, and was checked since it was reported.

    An upload is reported before its verdict is recorded: an older verdict is not about it.
    """
    never = content.outcome is Outcome.NO_MATCH and content.first_match_at is None
    return never and any(answer.asked_at > reported_at for answer in content.answers)


def _open(transaction: LedgerTransaction, content: StoredContent) -> bool:
    """Open one case; False if it is open by now or the answers no longer match."""
    fingerprint, answers = content.fingerprint, content.answers
    if transaction.ledger.store.cases.load_by_key(fingerprint.key) is not None:
        return False
    verdict = judge(fingerprint, answers, ())
    judged = JudgedFile("", b"", None, FileId(0, 0, 0, 0, 0), fingerprint, answers, verdict)
    case = open_case(transaction, judged)
    if case is None or verdict.outcome is not Outcome.MATCH:
        return False
    uploads = transaction.ledger.uploads.load(case.key)
    transaction.notify(NoticeKind.CASE, upload_summary(case, uploads), case)
    return True

"""Opening a case, and taking in what is known of its content since.

What the daemon has learned about one file.

Opening a file again that was judged some time ago: the same content, or not at all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from hashlib import sha256

from hashwacht.audit.log import AuditEvent
from hashwacht.cases import wording
from hashwacht.cases.file_actions import ActionFailure
from hashwacht.cases.ledger import LedgerTransaction
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Answer, FileId, Fingerprint, Outcome, Verdict
from hashwacht.platform.safe_open import FileChanged, OpenDirectory, read_consistent
from hashwacht.storage.cases import Case, CaseState, Evidence


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """One file and the verdict on its content.

    *root* is the configured name, *path* absolute bytes.  *fd* is the descriptor that was
    hashed, still open; None if only stored signals were asked again: then the file is opened by
    its path, and must be the one that *id* names or have the same content.
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


_PIECE = 1 << 20
_NOT_THERE = "it is not there any more"


def reopen(path: bytes, key: str, file: FileId) -> int | ActionFailure:
    """Give a descriptor of the file at *path* if it is *file* as it was, or has that content.

    *key* is the SHA-256 of the content.  Whoever gets the descriptor closes it.
    """
    directory, _, name = path.rpartition(b"/")
    try:
        with OpenDirectory.at(directory or b"/", listable=False) as parent:
            fd = parent.file(name, _named(parent.fd, name))
    except (FileNotFoundError, NotADirectoryError):
        return ActionFailure("gone", _NOT_THERE, lost=True)
    except FileChanged as error:
        return ActionFailure("changed", error.message, lost=True)
    except OSError as error:
        return ActionFailure("unreadable", error.strerror or "it cannot be opened")
    if (problem := _other(fd, key, file)) is not None:
        os.close(fd)
        return problem
    return fd


def _named(directory: int, name: bytes) -> tuple[int, int]:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return found.st_dev, found.st_ino


def _other(fd: int, key: str, file: FileId) -> ActionFailure | None:
    """Say if the content is another one.  Whoever only touched the file does not escape."""
    now = FileId.from_stat(os.fstat(fd))
    if now == file:
        return None
    try:
        _, digest = read_consistent(fd, _digest)
    except FileChanged as error:
        return ActionFailure("changed", error.message)
    except OSError as error:
        return ActionFailure("unreadable", error.strerror or "it cannot be read")
    if digest != key:
        rewritten = (now.dev, now.ino) == (file.dev, file.ino)
        return ActionFailure(
            "changed", "it holds another content now", lost=True, rewritten=rewritten
        )
    return None


def _digest(fd: int) -> str:
    found = sha256()
    while piece := os.read(fd, _PIECE):
        found.update(piece)
    return found.hexdigest()


def open_case(transaction: LedgerTransaction, found: JudgedFile) -> Case | None:
    """Give the case of a content as it is with this verdict; None if there is none.

    A match opens one.  So does a match that a known-good list set aside: that one is only
    recorded.  What is undetermined changes nothing that was known.
    """
    verdict, case = found.verdict, transaction.ledger.store.cases.load_by_key(found.key)
    if case is not None:
        return _changed(transaction, case, verdict)
    if verdict.outcome is Outcome.UNDETERMINED or not (verdict.matches or verdict.suppressed):
        return None
    return _first(transaction, found)


def _first(transaction: LedgerTransaction, found: JudgedFile) -> Case:
    verdict, of = found.verdict, found.fingerprint
    matched = verdict.outcome is Outcome.MATCH
    state = CaseState.OPEN if matched else CaseState.SUPPRESSED
    evidence = Evidence.from_verdict(verdict)
    case = Case(0, of.key, of.size, of.kind, state, transaction.now, transaction.now, evidence)
    act = AuditEvent.CASE_OPENED if matched else AuditEvent.SUPPRESSED
    return transaction.record_case(case, act, evidence=evidence.to_json())


def _changed(transaction: LedgerTransaction, case: Case, verdict: Verdict) -> Case:
    """Take in a further verdict: more or other matches, or none that counts any more."""
    evidence, state = Evidence.from_verdict(verdict, case.evidence), case.state
    if verdict.outcome is Outcome.MATCH and state is not CaseState.RELEASED:
        state = CaseState.OPEN
    if (evidence, state) == (case.evidence, case.state):
        return case
    known = replace(case, state=state, evidence=evidence, updated=transaction.now)
    kept = transaction.record_case(known, _act(case, known), evidence=evidence.to_json())
    withdrawn = case.evidence.outcome is Outcome.MATCH and evidence.outcome is not Outcome.MATCH
    if case.state is CaseState.OPEN and withdrawn:
        transaction.notify(NoticeKind.CASE, wording.withdrawn(kept), kept)
    return kept


def _act(before: Case, now: Case) -> AuditEvent:
    if now.state is not before.state:
        return AuditEvent.CASE_OPENED
    set_aside = now.evidence.outcome is not Outcome.MATCH and now.evidence.suppressed
    return AuditEvent.SUPPRESSED if set_aside else AuditEvent.CASE_CHANGED

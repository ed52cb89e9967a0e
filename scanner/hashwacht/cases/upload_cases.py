"""Cases of uploads that web applications reported, whose files are in no watched root.

Such a content has no location.  It may match at once or weeks later, when a list has grown; its
case then holds what the requests reported (Regulation (EU) 2022/2065, article 18).  Once a content
is found unknown, its reports are of no more use and are removed.
"""

from __future__ import annotations

from hashwacht.cases.case_opening import JudgedFile, open_case
from hashwacht.cases.case_rendering import upload_summary
from hashwacht.cases.ledger import CaseLock, Ledger, LedgerTransaction
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import FileId, Outcome
from hashwacht.core.verdict import judge
from hashwacht.storage.contents import StoredContent

_NO_FILE = FileId(0, 0, 0, 0, 0)


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

        The reports about a content that is found unknown are removed.  Raises StorageError.
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
    judged = JudgedFile("", b"", None, _NO_FILE, fingerprint, answers, verdict)
    case = open_case(transaction, judged)
    if case is None or verdict.outcome is not Outcome.MATCH:
        return False
    transaction.notify(NoticeKind.CASE, upload_summary(case), case)
    return True

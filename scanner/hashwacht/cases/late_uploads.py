"""Cases of uploads that web applications have told about: they lie where nobody watches.

Such a content has no place.  It may match at once or weeks later, when a list has grown; either
way its case holds what the request told (Regulation (EU) 2022/2065, article 18).  Once nobody
knows it, what was told is of no more use, and is forgotten.
"""

from __future__ import annotations

from hashwacht.cases import wording
from hashwacht.cases.case_lock import CaseLock
from hashwacht.cases.case_opening import JudgedFile, open_case
from hashwacht.cases.ledger import Ledger, LedgerTransaction
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import FileId, Outcome
from hashwacht.core.verdict import judge
from hashwacht.storage.contents import StoredContent

_NOWHERE = FileId(0, 0, 0, 0, 0)


class UploadCases:
    """Opens the cases that are missing, and forgets what leads to none.  Thread-safe."""

    def __init__(self, ledger: Ledger, lock: CaseLock) -> None:
        """Write into *book* while the *turn* is ours."""
        self._ledger, self._lock = ledger, lock

    def open_all(self) -> int:
        """Settle each content that was told about; say how many cases were opened.

        Any number of times.  Raises StorageError.
        """
        return sum(self.open_one(key) for key in list(self._ledger.uploads.keys()))

    def open_one(self, key: str) -> bool:
        """Open the case of one content if it was told about and matches: True if it is new.

        Of what nobody knows any more it is forgotten what was told.  Raises StorageError.
        """
        store, uploads = self._ledger.store, self._ledger.uploads
        told = uploads.last_recorded_at(key)
        if told is None or store.cases.load_by_key(key) is not None:
            return False
        for content in store.contents.load(store.contents.load_ids([key]).values()).values():
            if content.outcome is Outcome.MATCH:
                with self._lock.acquire(), self._ledger.transaction() as transaction:
                    return _open(transaction, content)
            if _is_unknown(content, told):
                uploads.remove(key)
        return False


def _is_unknown(content: StoredContent, told: float) -> bool:
    """Say if nobody has ever known a content, and somebody was asked since it was *told* about.

    An upload is told about before its verdict is kept: an older verdict says nothing about it.
    """
    never = content.outcome is Outcome.NO_MATCH and content.first_match_at is None
    return never and any(answer.asked_at > told for answer in content.answers)


def _open(transaction: LedgerTransaction, content: StoredContent) -> bool:
    """Open one; False if somebody was faster or its answers no longer match."""
    of = content.fingerprint
    if transaction.ledger.store.cases.load_by_key(of.key) is not None:
        return False
    verdict = judge(of, content.answers, ())
    case = open_case(transaction, JudgedFile("", b"", None, _NOWHERE, of, content.answers, verdict))
    if case is None or verdict.outcome is not Outcome.MATCH:
        return False
    transaction.notify(NoticeKind.CASE, wording.uploaded(case), case)
    return True

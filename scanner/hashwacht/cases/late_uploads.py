"""Cases of uploads that web applications have told about: they lie where nobody watches.

Such a content has no place.  It may match at once or weeks later, when a list has grown; either
way its case holds what the request told (Regulation (EU) 2022/2065, article 18).  Once nobody
knows it, what was told is of no more use, and is forgotten.
"""

from __future__ import annotations

from hashwacht.cases import wording
from hashwacht.cases.case_lock import Turn
from hashwacht.cases.case_opening import Found, opened
from hashwacht.cases.ledger import Book, Page
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import FileId, Outcome
from hashwacht.core.verdict import judge
from hashwacht.storage.contents import Content

_NOWHERE = FileId(0, 0, 0, 0, 0)


class Uploaded:
    """Opens the cases that are missing, and forgets what leads to none.  Thread-safe."""

    def __init__(self, book: Book, turn: Turn) -> None:
        """Write into *book* while the *turn* is ours."""
        self._book, self._turn = book, turn

    def settle_all(self) -> int:
        """Settle each content that was told about; say how many cases were opened.

        Any number of times.  Raises StateError.
        """
        return sum(self.settle(key) for key in list(self._book.uploads.keys()))

    def settle(self, key: str) -> bool:
        """Open the case of one content if it was told about and matches: True if it is new.

        Of what nobody knows any more it is forgotten what was told.  Raises StateError.
        """
        store, uploads = self._book.store, self._book.uploads
        told = uploads.last(key)
        if told is None or store.cases.find(key) is not None:
            return False
        for content in store.contents.load(store.contents.find([key]).values()).values():
            if content.outcome is Outcome.MATCH:
                with self._turn.taken(), self._book.page() as page:
                    return _open(page, content)
            if _is_unknown(content, told):
                uploads.forget(key)
        return False


def _is_unknown(content: Content, told: float) -> bool:
    """Say if nobody has ever known a content, and somebody was asked since it was *told* about.

    An upload is told about before its verdict is kept: an older verdict says nothing about it.
    """
    never = content.outcome is Outcome.NO_MATCH and content.first_match_at is None
    return never and any(answer.asked_at > told for answer in content.answers)


def _open(page: Page, content: Content) -> bool:
    """Open one; False if somebody was faster or its answers no longer match."""
    of = content.fingerprint
    if page.book.store.cases.find(of.key) is not None:
        return False
    verdict = judge(of, content.answers, ())
    case = opened(page, Found("", b"", None, _NOWHERE, of, content.answers, verdict))
    if case is None or verdict.outcome is not Outcome.MATCH:
        return False
    page.tell(NoticeKind.CASE, wording.uploaded(case), case)
    return True

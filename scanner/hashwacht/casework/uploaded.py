"""Cases of uploads that web applications have told about: they lie where nobody watches.

Such a content has no place.  It may match at once or weeks later, when a list has grown; either
way its case holds what the request told (Regulation (EU) 2022/2065, article 18).
"""

from __future__ import annotations

from hashwacht.casework import wording
from hashwacht.casework.book import Book, Page
from hashwacht.casework.found import Found
from hashwacht.casework.opening import opened
from hashwacht.casework.turn import Turn
from hashwacht.notice import NoticeKind
from hashwacht.state.contents import Content
from hashwacht.types import FileId, Outcome
from hashwacht.verdict import judge

_NOWHERE = FileId(0, 0, 0, 0, 0)


class Uploaded:
    """Opens the cases that are missing."""

    def __init__(self, book: Book, turn: Turn) -> None:
        """Write into *book* while the *turn* is ours."""
        self._book, self._turn = book, turn

    def open_cases(self) -> int:
        """Open a case for each content that was told about and matches; say for how many.

        Any number of times.  Raises StateError.
        """
        store, count = self._book.store, 0
        for key in list(self._book.uploads.keys()):
            if store.cases.find(key) is not None:
                continue
            for content in store.contents.load(store.contents.find([key]).values()).values():
                if content.outcome is Outcome.MATCH:
                    with self._turn.taken(), self._book.page() as page:
                        count += _open(page, content)
        return count


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

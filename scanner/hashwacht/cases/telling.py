"""Which place of a case is news."""

from __future__ import annotations

from hashwacht.cases import wording
from hashwacht.cases.ledger import Page
from hashwacht.core.notice import NoticeKind
from hashwacht.storage.locations import Place

FEW = 10
"""So many places of a content are told one by one."""


def tell_place(page: Page, place: Place) -> None:
    """Tell of a place, unless there are so many of its content that one more is no news.

    Told are the first ten, every account's first, and then the 16th, 32nd, 64th and so on.
    """
    case = page.book.store.cases.find(place.key)
    if case is None:
        return
    news = place.number <= FEW or place.number & (place.number - 1) == 0
    if news or page.book.store.places.first_of_account(place):
        page.tell(NoticeKind.CASE, wording.found(case, place), case)

"""Everything that casework is made of, put together once for each process.

Every notice stands in the log as well, whether anybody has configured an alert or not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hashwacht.cases.action_limit import Rulings
from hashwacht.cases.case_lock import Turn
from hashwacht.cases.decisions import Desk
from hashwacht.cases.file_actions import Hands
from hashwacht.cases.late_uploads import Uploaded
from hashwacht.cases.ledger import Book
from hashwacht.cases.service import Casework
from hashwacht.core.events import Event, about
from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.settings import GuardSettings, RootSettings

_log = logging.getLogger(__name__)

_EVENTS: Mapping[NoticeKind, Event] = MappingProxyType(
    {
        NoticeKind.CASE: Event.MATCH,
        NoticeKind.FLOOD: Event.FLOOD,
        NoticeKind.GAP: Event.GAP_OPENED,
        NoticeKind.OUTAGE: Event.OUTAGE,
        NoticeKind.TROUBLE: Event.ACTION_FAILED,
    }
)


def logged(tell: Callable[[Notice], None]) -> Callable[[Notice], None]:
    """Give what writes a notice into the log and then tells it."""

    def told(notice: Notice) -> None:
        extra = about(_EVENTS[notice.kind], case=_number(notice.case))
        _log.warning("%s", notice.summary, extra=extra)
        tell(notice)

    return told


def _number(case: str) -> str:
    """Give the number of the case that a notice is about."""
    return str(json.loads(case)["case"]) if case else ""


@dataclass(frozen=True)
class Workroom:
    """The parts; *roots* by name."""

    book: Book
    hands: Hands
    turn: Turn
    roots: Mapping[str, RootSettings]
    guard: GuardSettings

    def casework(self) -> Casework:
        """Give what follows from verdicts."""
        return Casework(
            book=self.book,
            hands=self.hands,
            turn=self.turn,
            roots=self.roots,
            guard=self.guard,
        )

    def desk(self) -> Desk:
        """Give what people decide with."""
        return Desk(self.book, self.hands, self.turn)

    def uploaded(self) -> Uploaded:
        """Give what opens the cases of uploads that web applications have told about."""
        return Uploaded(self.book, self.turn)

    def rulings(self) -> Rulings:
        """Give what people rule about floods with."""
        return Rulings(self.book, self.turn)

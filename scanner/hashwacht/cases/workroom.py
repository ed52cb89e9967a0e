"""Everything that casework is made of, put together once for each process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hashwacht.cases.ledger import Book
from hashwacht.cases.service import Casework
from hashwacht.cases.decisions import Desk
from hashwacht.cases.hands import Hands
from hashwacht.cases.rulings import Rulings
from hashwacht.cases.case_lock import Turn
from hashwacht.cases.late_uploads import Uploaded
from hashwacht.settings import GuardSettings, RootSettings


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

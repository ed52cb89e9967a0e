"""Everything that casework is made of, put together once for each process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hashwacht.casework.book import Book
from hashwacht.casework.casework import Casework
from hashwacht.casework.desk import Desk
from hashwacht.casework.hands import Hands
from hashwacht.casework.rulings import Rulings
from hashwacht.casework.turn import Turn
from hashwacht.casework.uploaded import Uploaded
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

"""What people rule about floods: let go, stand down, recall."""

from __future__ import annotations

from hashwacht.cases.ledger import Book
from hashwacht.cases.case_lock import Turn
from hashwacht.core.errors import UsageError
from hashwacht.audit.log import Act
from hashwacht.storage.action_limits import Flood, Ruling

_ACTS = {
    Ruling.LET_GO: Act.FLOOD_LET_GO,
    Ruling.STAND_DOWN: Act.FLOOD_STOOD_DOWN,
    Ruling.RECALLED: Act.FLOOD_RECALLED,
}


class Rulings:
    """Rules about one flood at a time, with a reason for each."""

    def __init__(self, book: Book, turn: Turn) -> None:
        """Write who rules into *book*."""
        self._book, self._turn, self._store = book, turn, book.store

    def let_go(self, number: int, why: str) -> int:
        """Have what waits carried out by ``Casework.retry``, and suspend the limit for one window.

        Gives how much waited.  Raises UsageError, StateError.
        """
        return self._rule(number, Ruling.OPEN, Ruling.LET_GO, why)

    def stand_down(self, number: int, why: str) -> int:
        """Drop what waits, and only observe such files until this is recalled."""
        return self._rule(number, Ruling.OPEN, Ruling.STAND_DOWN, why)

    def recall(self, number: int, why: str) -> int:
        """End standing down: the policy counts again, also for what was dropped."""
        return self._rule(number, Ruling.STAND_DOWN, Ruling.RECALLED, why)

    def _rule(self, number: int, expected: Ruling, ruling: Ruling, why: str) -> int:
        with self._turn.taken(), self._book.page() as page:
            flood = self._find(number, expected)
            self._store.floods.rule(flood.id, ruling, page.now, self._book.who, why)
            places = self._store.places
            touched = {
                Ruling.LET_GO: lambda: places.let_go(flood.id, page.now),
                Ruling.STAND_DOWN: lambda: places.stand_down(
                    flood.id, f"flood {flood.id}: stood down"
                ),
                Ruling.RECALLED: lambda: places.recall(flood.id, page.now),
            }[ruling]()
            page.audit(_ACTS[ruling], flood=flood.id, files=touched, reason=why)
        return touched

    def _find(self, number: int, expected: Ruling) -> Flood:
        flood = self._store.floods.get(number)
        if flood is None:
            raise UsageError(
                f"there is no flood {number}", advice="`hashwacht flood list` names them."
            )
        if flood.ruling is not expected:
            raise UsageError(
                f"flood {number} is {flood.ruling}, not {expected}",
                advice="`hashwacht flood list --all` says how each of them stands.",
            )
        return flood

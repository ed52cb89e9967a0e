"""What people rule about floods: let go, stand down, recall.

The flood guard: when so many files are acted upon that a list must have gone wrong.

It counts files that were held or quarantined because of a match, and stops actions, never
detection: files go on being judged, cases being opened.  When a limit is reached, what comes
next waits, however long, until somebody rules: *let go* (the list is right) or *stand down* (it
is wrong).  Files that are held because nobody can say anything about them are not counted: no
list is behind that, and an outage must not open what the configuration wants held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hashwacht.audit.log import Act
from hashwacht.cases.case_lock import Turn
from hashwacht.cases.ledger import Book
from hashwacht.core.errors import UsageError
from hashwacht.settings import GuardSettings
from hashwacht.storage.action_limits import Flood, Floods, Ruling, Scope, Subject
from hashwacht.storage.locations import Place, Places


@dataclass(frozen=True, slots=True)
class Permission:
    """If one file may be acted upon.  *flood* says why not, *new* that it has just begun."""

    flood: Flood | None = None
    new: bool = False

    @property
    def granted(self) -> bool:
        """Nothing is in the way."""
        return self.flood is None

    @property
    def standing_down(self) -> bool:
        """Somebody has ruled that such files are left alone."""
        return self.flood is not None and self.flood.ruling is Ruling.STAND_DOWN


class Guard:
    """Asked before every action, in the transaction that then counts it."""

    def __init__(self, places: Places, floods: Floods, settings: GuardSettings) -> None:
        """Count *places*, keep what was ruled in *floods*."""
        self._places, self._floods, self._settings = places, floods, settings

    @property
    def window(self) -> float:
        """The seconds over which files are counted."""
        return self._settings.window

    def counts(self, place: Place, now: float) -> bool:
        """Say if a place is counted already, so that doing the same again is no further one."""
        return place.counted is not None and place.counted > now - self._settings.window

    def ask(self, place: Place, now: float) -> Permission:
        """Say if a file may be acted upon; opens a flood if a limit has just been reached."""
        limits = [*self._limits(place)]
        in_force = [self._floods.in_force(subject) for subject, *_ in limits]
        floods = [flood for flood in in_force if flood is not None]
        for flood in sorted(floods, key=lambda flood: flood.ruling is not Ruling.STAND_DOWN):
            return Permission(flood)
        since = now - self._settings.window
        for subject, most, equal in limits:
            if self._floods.let_go_since(subject, since):
                continue
            if self._places.counted(since, most, **equal) >= most:
                return Permission(self._floods.open(subject, most, now), new=True)
        return Permission()

    def _limits(self, place: Place) -> Iterator[tuple[Subject, int, dict[str, Any]]]:
        """Give what is counted, how many are allowed, and the columns that must be equal."""
        key, root, uid = place.key, place.root, place.uid
        yield Subject(Scope.HASH, "", key), self._settings.per_hash, {"key": bytes.fromhex(key)}
        if uid is not None:
            most = self._settings.per_account
            yield Subject(Scope.ACCOUNT, root, str(uid)), most, {"root": root, "uid": uid}
        yield Subject(Scope.ROOT, root, ""), self._settings.per_root, {"root": root}


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

"""Doing what was decided, and recording what came of it.  Only who has the turn comes here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from hashwacht.audit.entry import JSON
from hashwacht.audit.log import Act
from hashwacht.cases import wording
from hashwacht.cases.case_locations import FEW, tell_place
from hashwacht.cases.case_opening import reopen
from hashwacht.cases.file_actions import Done, Fate, Hands, Undone
from hashwacht.cases.ledger import Book, Page
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, FileId
from hashwacht.storage.locations import Place, PlaceState

UNCLEAR = frozenset({PlaceState.PENDING, PlaceState.RESTORING, PlaceState.DESTROYING})
"""States in which only a crash can leave a place."""

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 6 * 3600.0
"""Seconds before a failed act is tried again: the first time, doubling, and at most."""

_PATIENCE = 2
"""So many times what may pass by itself fails before people are told."""

_DONE = {
    Action.HOLD: (PlaceState.HELD, Act.HELD),
    Action.QUARANTINE: (PlaceState.QUARANTINED, Act.QUARANTINED),
}


class Performer:
    """Acts upon one place at a time."""

    def __init__(self, book: Book, hands: Hands) -> None:
        """Write into *book* what *hands* do."""
        self._book, self._hands = book, hands
        self._store = book.store

    def act(self, place: Place, fd: int | None) -> Place:
        """Hold or quarantine a place that is recorded as pending; *fd* is its file if open."""
        mine = reopen(place.path, place.key, place.file) if fd is None else None
        if isinstance(mine, Undone):
            return self._record(place, mine)
        try:
            return self._act(place, fd if mine is None else mine)
        finally:
            if mine is not None:
                os.close(mine)

    def _act(self, place: Place, fd: int | None) -> Place:
        assert fd is not None, "given or opened"
        case = self._told(place)
        if place.action is Action.QUARANTINE:
            done = self._hands.quarantine(fd, place, case)
            if isinstance(done, Done) or not done.holdable:
                return self._record(place, done)
            return self._record(self._held_meanwhile(place, fd, case), done)
        done = self._hands.hold(fd, place, case)
        return self._record(place if isinstance(done, Undone) else _touched(place, fd), done)

    def _held_meanwhile(self, place: Place, fd: int, case: Mapping[str, JSON]) -> Place:
        """Hold what should be sealed and cannot be now: that is less, and better than nothing."""
        done = self._hands.hold(fd, place, case)
        if isinstance(done, Undone):
            return place
        return replace(_touched(place, fd), held=done.held)

    def release(self, place: Place, why: str) -> Place:
        """Let a held file be served again; *why* goes into the log.

        If that fails it stays held, with the action *allow*, and is due to be tried again.
        """
        done = self._hands.release(place, self._told(place))
        with self._book.page() as page:
            if isinstance(done, Undone) and not done.lost:
                return self._failed(page, replace(place, action=Action.ALLOW), done)
            if isinstance(done, Undone):
                return self._ended(page, place, PlaceState.GONE, Act.GONE, str(done))
            detail = f"{why}; {done.detail}" if done.detail else why
            return self._ended(page, place, PlaceState.RELEASED, Act.RELEASED, detail)

    def gone(self, place: Place, detail: str, *, rewritten: bool) -> Place:
        """Record that the content of a place is not there any more.

        *rewritten*: its very file holds another one now, and that one is not to be held.  A held
        file that is elsewhere stays held: it is met there.
        """
        if place.held and rewritten:
            place = self.release(place, detail)
            if place.held or not place.state.live:
                return place
        with self._book.page() as page:
            return self._ended(page, place, PlaceState.GONE, Act.GONE, detail)

    def clear_up(self, place: Place) -> Place:
        """Find out how far an interrupted act came; a pending place stays so if it came nowhere."""
        fate, done = self._hands.fate(place)
        if fate is Fate.SEALED and place.state is PlaceState.PENDING:
            return self._record(replace(place, action=Action.QUARANTINE), done)
        if fate is Fate.HELD and place.state is PlaceState.PENDING:
            return self._hold_again(place, done)
        if place.state is PlaceState.PENDING:
            return place
        state, act = {
            Fate.RESTORED: (PlaceState.RESTORED, Act.RESTORED),
            Fate.DESTROYED: (PlaceState.DESTROYED, Act.DESTROYED),
        }.get(fate, (PlaceState.QUARANTINED, Act.FAILED))
        with self._book.page() as page:
            path = done.path or place.path
            known = replace(place, state=state, due=None, path=path, detail=done.detail)
            return page.place(known, act, detail=done.detail, **done.facts)

    def _hold_again(self, place: Place, done: Done) -> Place:
        """Record a holding; if it is to be quarantined, that has only begun."""
        if place.action is Action.HOLD:
            return self._record(replace(place, file=_as_it_is(place)), done)
        with self._book.page() as page:
            return page.place(replace(place, held=done.held))

    def _record(self, place: Place, done: Done | Undone) -> Place:
        with self._book.page() as page:
            if isinstance(done, Done):
                return self._succeeded(page, place, done)
            if not done.lost:
                return self._failed(page, place, done)
        return self.gone(place, str(done), rewritten=done.rewritten)

    def _succeeded(self, page: Page, place: Place, done: Done) -> Place:
        state, act = _DONE[place.action]
        changed = replace(
            place,
            state=state,
            acted=page.now,
            due=None,
            vault=done.vault,
            held=done.held if state is PlaceState.HELD else "",
            detail=done.detail,
        )
        facts = {"vault": done.vault} if done.vault else {}
        kept = page.place(changed, act, detail=done.detail, **facts, **done.facts)
        tell_place(page, kept)
        return kept

    def _failed(self, page: Page, place: Place, why: Undone) -> Place:
        """Keep a place to be tried again; what is held stays held."""
        pause = min(FIRST_PAUSE * 2**place.attempts, LONGEST_PAUSE)
        held = bool(place.held)
        changed = replace(
            place,
            state=PlaceState.HELD if held else PlaceState.FAILED,
            attempts=place.attempts + 1,
            due=page.now + pause,
            counted=place.counted if held else None,
            detail=str(why),
        )
        tried = "release" if place.action is Action.ALLOW else str(place.action)
        kept = page.place(changed, Act.FAILED, action=tried, detail=str(why))
        if place.attempts == (_PATIENCE if why.passing else 0):
            case = self._store.cases.find(place.key)
            page.tell(NoticeKind.TROUBLE, wording.failed(case, kept, tried, why), case)
        return kept

    def _ended(self, page: Page, place: Place, state: PlaceState, act: Act, detail: str) -> Place:
        """Record that there is nothing to be done any more; without a case nobody asks again."""
        counted = place.counted if place.acted else None
        known = replace(
            place, state=state, due=None, held="", counted=counted, detail=detail, attempts=0
        )
        kept = page.place(known, act, detail=detail)
        if self._store.cases.find(place.key) is None:
            self._store.places.remove(kept)
        return kept

    def _told(self, place: Place) -> dict[str, JSON]:
        """Give the case for who acts, or what is known without one; the place goes with it."""
        case = self._store.cases.find(place.key)
        told = self._book.file(case, FEW).to_json() if case else {"v": 1, "type": "case"}
        return {**told, "sha256": place.key, "place": self._book.place_facts(place)}


def _touched(place: Place, fd: int) -> Place:
    """Take in the times that holding has given the file, or it would be taken for another one."""
    return replace(place, file=FileId.of(os.fstat(fd)))


def _as_it_is(place: Place) -> FileId:
    """Give the file with the times that holding has given it, if it is still at its path."""
    try:
        now = FileId.of(os.lstat(place.path))
    except OSError:
        return place.file
    same = (now.dev, now.ino) == (place.file.dev, place.file.ino)
    return now if same else place.file

"""Recording where a content was found, and what is to be done about it there.

Whose file it is: the user of this machine that owns it.

Which place of a case is news.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import replace

from hashwacht.audit.log import Act
from hashwacht.cases import wording
from hashwacht.cases.action_limit import Guard
from hashwacht.cases.case_opening import Found
from hashwacht.cases.ledger import Page
from hashwacht.cases.policy import Decision
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, Outcome
from hashwacht.storage.action_limits import Flood
from hashwacht.storage.cases import Case
from hashwacht.storage.locations import Place, PlaceState


def account_of(fd: int) -> tuple[int, str]:
    """Give user id and name of an open file's owner; the name is empty if nobody has the id."""
    uid = os.fstat(fd).st_uid
    try:
        return uid, pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid, ""


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


UNDETERMINED = "undetermined"
"""The rule by which a file is held that nobody can say anything about."""

MOVED = "moved"
"""The rule of a held file that was moved while nobody watched."""

_UNDONE = frozenset({PlaceState.WAITING, PlaceState.FAILED, PlaceState.PENDING})
_DECIDED = _UNDONE | {PlaceState.HELD}
_TRIED_AGAIN = frozenset({PlaceState.FAILED, PlaceState.HELD})
_LET_GO = frozenset({PlaceState.WAITING, PlaceState.HELD})
"""States of what is due although a flood holds it: somebody has ruled so."""


def standing(here: Place | None, found: Found, decision: Decision) -> Decision:
    """Say which decision holds: an answer that is missing takes nothing back that was decided."""
    missing = found.verdict.outcome is Outcome.UNDETERMINED
    if missing and here is not None and here.rule != UNDETERMINED and here.state in _DECIDED:
        return Decision(here.action, here.rule)
    return decision


class Placing:
    """Writes places into a page.  What is *pending* afterwards is to be done at once."""

    def __init__(self, guard: Guard) -> None:
        """Ask *guard* before every action."""
        self._guard = guard

    def placed(
        self, page: Page, case: Case | None, here: Place | None, found: Found, decision: Decision
    ) -> Place:
        """Record a file about which something is to be done, be it only observing it."""
        fresh = here is None or here.rule == UNDETERMINED != decision.rule
        place = here or _new(page, found, decision)
        seen = replace(_seen(place, found), rule=decision.rule)
        place = self._due(page, seen, decision.action, same=seen.file == place.file)
        if place == here:
            return place
        if fresh and case is not None:
            page.book.store.cases.put(replace(case, updated=page.now))
        how = {"action": str(decision.action), "state": str(place.state)}
        kept = page.place(place, _act(place, fresh=fresh, before=here), **how)
        if fresh and kept.state is not PlaceState.PENDING:  # else it is told when it is done
            tell_place(page, kept)
        return kept

    def met(
        self, page: Page, case: Case | None, here: Place | None, found: Found, held: str
    ) -> Place:
        """Record that the file at a place is held.  If it was not, it was moved there unseen."""
        if here is not None and here.held:
            return page.place(_seen(here, found))
        rule = UNDETERMINED if case is None else MOVED
        place = _new(page, found, Decision(Action.HOLD, rule)) if here is None else here
        met = replace(_seen(place, found), state=PlaceState.HELD, action=Action.HOLD, held=held)
        return page.place(replace(met, due=None, flood=None), Act.FOUND, state=str(met.state))

    def dropped(self, page: Page, here: Place | None, found: Found) -> Place | None:
        """Record that nothing is to be done about a file; what is held is left to be released.

        An answer that is missing takes back only what was done because it was missing.
        """
        missing = found.verdict.outcome is Outcome.UNDETERMINED
        if here is None or (missing and here.rule != UNDETERMINED):
            return here
        place = _seen(here, found)
        if here.held:
            return place  # to be released, which records it
        if here.state in _UNDONE:
            return _let_be(page, place)
        return page.place(place) if place != here else here

    def again(self, page: Page, place: Place, decision: Decision) -> Place:
        """Record what is to be done about a place that is due: it failed, or was let go."""
        if decision.action in (Action.ALLOW, Action.OBSERVE):
            if place.held:  # milder is not harmless
                held = replace(place, state=PlaceState.HELD, action=Action.HOLD)
                return page.place(replace(held, due=None, flood=None))
            return _let_be(page, place)
        wanted = replace(place, action=decision.action, rule=decision.rule)
        if place.flood is not None and place.state in _LET_GO:  # which is not counted
            return page.place(replace(wanted, state=PlaceState.PENDING, due=page.now, flood=None))
        asked = self._permitted(page, wanted)
        return page.place(asked, Act.WAITING if asked.state is PlaceState.WAITING else "")

    def lost(
        self, page: Page, here: Place | None, found: Found, decision: Decision, detail: str
    ) -> Place:
        """Record that the content was there, and is not any more."""
        place = here or _new(page, found, decision)
        gone = replace(place, state=PlaceState.GONE, due=None, counted=None, detail=detail)
        kept = page.place(gone, Act.GONE, detail=detail)
        tell_place(page, kept)
        return kept

    def _permitted(self, page: Page, place: Place) -> Place:
        """Ask the flood guard; what it allows is counted and pending from now on."""
        pending = replace(place, state=PlaceState.PENDING, due=page.now, flood=None)
        if place.rule == UNDETERMINED or self._guard.counts(place, page.now):
            return pending
        permission = self._guard.ask(place, page.now)
        if permission.flood is None:
            return replace(pending, counted=page.now)
        if permission.new:
            self._began(page, permission.flood, place)
        if place.state is PlaceState.HELD:  # and stays so, waiting to be sealed
            return replace(place, due=None, flood=permission.flood.id)
        if permission.standing_down:
            detail = f"flood {permission.flood.id}: stood down"
            observed = _observed(place)
            return replace(observed, flood=permission.flood.id, detail=detail)
        return replace(place, state=PlaceState.WAITING, due=None, flood=permission.flood.id)

    def _due(self, page: Page, place: Place, action: Action, *, same: bool) -> Place:
        """Say what is to be done; a file that is held or sealed is never let go by this."""
        if place.state is PlaceState.HELD and action is Action.OBSERVE:
            action = Action.HOLD  # what was held stays held until somebody or no match releases it
        if place.state is PlaceState.HELD and not same:
            # Its owner has given it permissions, or put the same content there once more.
            place = replace(place, state=PlaceState.OBSERVED, due=None)
        state = place.state
        if action is Action.OBSERVE:
            return _observed(place) if state in _UNDONE else place
        if state is PlaceState.HELD and place.action is Action.ALLOW:  # its release has failed
            place = replace(place, action=Action.HOLD, due=None)
        if state is PlaceState.HELD and place.action is action is Action.HOLD:
            return place
        if state in _TRIED_AGAIN and place.due is not None and place.due > page.now:
            return place
        return self._permitted(page, replace(place, action=action))

    def _began(self, page: Page, flood: Flood, place: Place) -> None:
        """Say that actions wait from now on, and how to go on."""
        subject = flood.subject
        page.audit(
            Act.FLOOD_BEGAN,
            flood=flood.id,
            scope=str(subject.scope),
            root=subject.root,
            subject=subject.of,
            most=flood.most,
        )
        case = page.book.store.cases.find(place.key)
        page.tell(NoticeKind.FLOOD, wording.flood(flood, self._guard.window), case)


def _act(place: Place, *, fresh: bool, before: Place | None) -> str:
    """Name what is written into the audit log; nothing if only times have changed."""
    if fresh:
        return Act.FOUND
    waits = place.state is PlaceState.WAITING
    return Act.WAITING if waits and before and before.state is not place.state else ""


def _seen(place: Place, found: Found) -> Place:
    """Take in which file it is now; what was not opened may be another one than is known of it."""
    return place if found.fd is None else replace(place, file=found.id)


def _let_be(page: Page, place: Place) -> Place:
    """Drop what was to be done; a place that belongs to no case is then forgotten."""
    kept = page.place(_observed(place), Act.LET_BE)
    if kept.rule == UNDETERMINED:
        page.book.store.places.remove(kept)
    return kept


def _observed(place: Place) -> Place:
    return replace(place, state=PlaceState.OBSERVED, due=None, counted=None, flood=None)


def _new(page: Page, found: Found, decision: Decision) -> Place:
    uid, account = (None, "") if found.fd is None else account_of(found.fd)
    return Place(
        id=0,
        key=found.key,
        root=found.root,
        path=found.path,
        file=found.id,
        uid=uid,
        account=account,
        found=page.now,
        action=decision.action,
        rule=decision.rule,
        state=PlaceState.OBSERVED,
    )

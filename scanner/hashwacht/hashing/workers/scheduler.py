"""Who may use a worker next: two lines of those who wait, served in turn.

What the scanner found by itself and what was handed to it must not starve one another: a burst in
one line costs the other one turn's time.  Handed contents never take the last worker either, if
there is more than one, because who hands them over may be slow on purpose.

Who has a turn may take others of the line along, whose contents then go the same way at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Generic, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


class Line(IntEnum):
    """Whose content it is: found by this process, or handed to it by another one."""

    OWN = 0
    HANDED = 1


class _Waiting(Generic[Given, Made]):
    """One who waits; *given* is what somebody else may do along with his own, if that is so."""

    __slots__ = ("given", "has_turn", "made", "woken")

    def __init__(self, given: tuple[Given, ...] = ()) -> None:
        self.woken = threading.Event()
        self.given = given
        self.has_turn = False
        self.made: tuple[Made, ...] = ()


class Turns(Generic[Given, Made]):
    """Up to *number* at a time.  Thread-safe; within a line, first come, first served."""

    def __init__(self, number: int, together: int = 1) -> None:
        """Let one turn serve up to *together* of those who say that theirs may be taken along."""
        self._number, self._free, self._together = number, number, together
        self._most = {Line.OWN: number, Line.HANDED: max(1, number - 1)}
        self._taken = dict.fromkeys(Line, 0)
        self._waiting: dict[Line, deque[_Waiting[Given, Made]]] = {line: deque() for line in Line}
        self._next = Line.OWN
        self._lock = threading.Lock()

    @contextmanager
    def of(self, line: Line) -> Iterator[None]:
        """Wait for a turn, and have it until this is left."""
        mine: _Waiting[Given, Made] = _Waiting()
        try:
            self._wait(line, mine)
            yield
        finally:
            self._leave(line, mine)

    def together(
        self, line: Line, given: Given, work: Callable[[Sequence[Given]], Sequence[Made]]
    ) -> tuple[Made, ...]:
        """Have *given* worked on, in a turn of ours or in somebody else's; give what was made.

        *work* gives one for each, in order, or none at all.  Then, and if it raises in another
        one's turn, this gives nothing.
        """
        mine: _Waiting[Given, Made] = _Waiting((given,))
        others: list[_Waiting[Given, Made]] = []
        try:
            self._wait(line, mine)
            if not mine.has_turn:
                return mine.made
            others += self._companions(line)
            made = work([given, *(one for each in others for one in each.given)])
            for each, one in zip(others, made[1:], strict=False):
                each.made = (one,)
            return tuple(made[:1])
        finally:
            self._leave(line, mine)
            for each in others:
                each.woken.set()

    def _wait(self, line: Line, mine: _Waiting[Given, Made]) -> None:
        with self._lock:
            self._waiting[line].append(mine)
            self._give()
        mine.woken.wait()

    def _companions(self, line: Line) -> list[_Waiting[Given, Made]]:
        """Take those out of the line who come next, as long as theirs may be taken along.

        Of few who wait, some are left to who has the next turn.
        """
        found: list[_Waiting[Given, Made]] = []
        with self._lock:
            waiting = self._waiting[line]
            share = min(self._together - 1, -(-len(waiting) // self._number))
            while len(found) < share and waiting[0].given:
                found.append(waiting.popleft())
        return found

    def _leave(self, line: Line, mine: _Waiting[Given, Made]) -> None:
        """Give the turn back; who was interrupted before he had one leaves the line."""
        with self._lock:
            if mine.has_turn:
                self._free += 1
                self._taken[line] -= 1
                self._give()
            elif mine in self._waiting[line]:
                self._waiting[line].remove(mine)

    def _give(self) -> None:
        """Give away what is free, to the lines in turn."""
        while self._free:
            able = [line for line in (self._next, Line(1 - self._next)) if self._may(line)]
            if not able:
                return
            self._free -= 1
            self._taken[able[0]] += 1
            self._next = Line(1 - able[0])
            first = self._waiting[able[0]].popleft()
            first.has_turn = True
            first.woken.set()

    def _may(self, line: Line) -> bool:
        return bool(self._waiting[line]) and self._taken[line] < self._most[line]

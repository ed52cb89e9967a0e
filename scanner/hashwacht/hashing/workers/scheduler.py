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

Input = TypeVar("Input")
Output = TypeVar("Output")


class SchedulerLane(IntEnum):
    """Whose content it is: found by this process, or handed to it by another one."""

    LOCAL = 0
    UPLOAD = 1


class _Waiting(Generic[Input, Output]):
    """One who waits; *given* is what somebody else may do along with his own, if that is so."""

    __slots__ = ("given", "has_turn", "made", "woken")

    def __init__(self, given: tuple[Input, ...] = ()) -> None:
        self.woken = threading.Event()
        self.given = given
        self.has_turn = False
        self.made: tuple[Output, ...] = ()


class FairScheduler(Generic[Input, Output]):
    """Up to *number* at a time.  Thread-safe; within a line, first come, first served."""

    def __init__(self, number: int, batch_size: int = 1) -> None:
        """Let one turn serve up to *together* of those who say that theirs may be taken along."""
        self._number, self._free, self._together = number, number, batch_size
        self._most = {SchedulerLane.LOCAL: number, SchedulerLane.UPLOAD: max(1, number - 1)}
        self._taken = dict.fromkeys(SchedulerLane, 0)
        self._waiting: dict[SchedulerLane, deque[_Waiting[Input, Output]]] = {
            lane: deque() for lane in SchedulerLane
        }
        self._next = SchedulerLane.LOCAL
        self._lock = threading.Lock()

    @contextmanager
    def slot(self, lane: SchedulerLane) -> Iterator[None]:
        """Wait for a turn, and have it until this is left."""
        mine: _Waiting[Input, Output] = _Waiting()
        try:
            self._wait(lane, mine)
            yield
        finally:
            self._leave(lane, mine)

    def run_batched(
        self, lane: SchedulerLane, given: Input, work: Callable[[Sequence[Input]], Sequence[Output]]
    ) -> tuple[Output, ...]:
        """Have *given* worked on, in a turn of ours or in somebody else's; give what was made.

        *work* gives one for each, in order, or none at all.  Then, and if it raises in another
        one's turn, this gives nothing.
        """
        mine: _Waiting[Input, Output] = _Waiting((given,))
        others: list[_Waiting[Input, Output]] = []
        try:
            self._wait(lane, mine)
            if not mine.has_turn:
                return mine.made
            others += self._companions(lane)
            made = work([given, *(one for each in others for one in each.given)])
            for each, one in zip(others, made[1:], strict=False):
                each.made = (one,)
            return tuple(made[:1])
        finally:
            self._leave(lane, mine)
            for each in others:
                each.woken.set()

    def _wait(self, lane: SchedulerLane, mine: _Waiting[Input, Output]) -> None:
        with self._lock:
            self._waiting[lane].append(mine)
            self._give()
        mine.woken.wait()

    def _companions(self, lane: SchedulerLane) -> list[_Waiting[Input, Output]]:
        """Take those out of the line who come next, as long as theirs may be taken along.

        Of few who wait, some are left to who has the next turn.
        """
        found: list[_Waiting[Input, Output]] = []
        with self._lock:
            waiting = self._waiting[lane]
            share = min(self._together - 1, -(-len(waiting) // self._number))
            while len(found) < share and waiting[0].given:
                found.append(waiting.popleft())
        return found

    def _leave(self, lane: SchedulerLane, mine: _Waiting[Input, Output]) -> None:
        """Give the turn back; who was interrupted before he had one leaves the line."""
        with self._lock:
            if mine.has_turn:
                self._free += 1
                self._taken[lane] -= 1
                self._give()
            elif mine in self._waiting[lane]:
                self._waiting[lane].remove(mine)

    def _give(self) -> None:
        """Give away what is free, to the lines in turn."""
        while self._free:
            able = [lane for lane in (self._next, SchedulerLane(1 - self._next)) if self._may(lane)]
            if not able:
                return
            self._free -= 1
            self._taken[able[0]] += 1
            self._next = SchedulerLane(1 - able[0])
            first = self._waiting[able[0]].popleft()
            first.has_turn = True
            first.woken.set()

    def _may(self, lane: SchedulerLane) -> bool:
        return bool(self._waiting[lane]) and self._taken[lane] < self._most[lane]

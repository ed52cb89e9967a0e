"""Who may use a worker next: two lines of those who wait, served in turn.

What the scanner found by itself and what was handed to it must not starve one another: a burst in
one line costs the other one content's time.  Handed contents never take the last worker either,
if there is more than one, because who hands them over may be slow on purpose.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class Line(IntEnum):
    """Whose content it is: found by this process, or handed to it by another one."""

    OWN = 0
    HANDED = 1


class Turns:
    """Up to *number* at a time.  Thread-safe; within a line, first come, first served."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._most = {Line.OWN: number, Line.HANDED: max(1, number - 1)}
        self._taken = dict.fromkeys(Line, 0)
        self._waiting: dict[Line, deque[threading.Event]] = {line: deque() for line in Line}
        self._next = Line.OWN
        self._lock = threading.Lock()

    @contextmanager
    def of(self, line: Line) -> Iterator[None]:
        """Wait for a turn, and have it until this is left."""
        with self._lock:
            mine = threading.Event()
            self._waiting[line].append(mine)
            self._give()
        try:
            mine.wait()
            yield
        finally:
            self._leave(line, mine)

    def _leave(self, line: Line, mine: threading.Event) -> None:
        """Give the turn back; who was interrupted before he had one leaves the line."""
        with self._lock:
            if not mine.is_set():
                self._waiting[line].remove(mine)
                return
            self._free += 1
            self._taken[line] -= 1
            self._give()

    def _give(self) -> None:
        """Give away what is free, to the lines in turn."""
        while self._free:
            able = [line for line in (self._next, Line(1 - self._next)) if self._may(line)]
            if not able:
                return
            self._free -= 1
            self._taken[able[0]] += 1
            self._next = Line(1 - able[0])
            self._waiting[able[0]].popleft().set()

    def _may(self, line: Line) -> bool:
        return bool(self._waiting[line]) and self._taken[line] < self._most[line]

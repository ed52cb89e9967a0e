"""Checks that a client does not wait for: it receives a ticket, and asks for the answer later.

A ticket belongs to the client that received it.  Tickets are in memory: after a restart of the
gateway they are unknown, and the client sends the file again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from hashwacht.gateway.http.problems import ApiProblem, too_many

LIFETIME = 3600.0
"""Seconds for which an answer is kept after its ticket was given out."""

MAX_TICKETS = 4096
"""Tickets at a time, of all clients."""


CheckOutcome = dict[str, object] | ApiProblem
"""The fields of an answer, or why there is none."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A check of *owner* that began at the monotonic time *began*."""

    id: str
    owner: str
    began: float
    task: asyncio.Task[CheckOutcome]


class TicketTable:
    """The tickets of all clients, oldest first.  Used from one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._expired: OrderedDict[str, str] = OrderedDict()

    def add(self, owner: str, check: Coroutine[Any, Any, CheckOutcome]) -> Ticket:
        """Start *check* and return its ticket; ``reserve`` comes before."""
        task = asyncio.create_task(check)
        ticket = Ticket(secrets.token_urlsafe(18), owner, self._clock(), task)
        self._tickets[ticket.id] = ticket
        return ticket

    def reserve(self) -> None:
        """Raise ApiProblem 429 if there are too many tickets."""
        self._expire()
        if len(self._tickets) >= MAX_TICKETS:
            raise too_many("Too many answers wait to be collected.")

    def find(self, owner: str, number: str) -> Ticket:
        """Return a ticket.  Raises ApiProblem 404 for an unknown one, 410 for an expired one."""
        self._expire()
        ticket = self._tickets.get(number)
        if ticket is not None and ticket.owner == owner:
            return ticket
        if self._expired.get(number) == owner:
            raise ApiProblem(410, "Gone", "The answer has expired; send the file again.")
        raise ApiProblem(404, "Not found", "No such check of this client; send the file again.")

    def _expire(self) -> None:
        """Forget what is too old; a check under way stays until it has ended."""
        before = self._clock() - LIFETIME
        for ticket in [*self._tickets.values()]:
            if ticket.began > before:
                break
            if ticket.task.done():
                del self._tickets[ticket.id]
                self._expired[ticket.id] = ticket.owner
        while len(self._expired) > MAX_TICKETS:
            self._expired.popitem(last=False)

    async def close(self) -> None:
        """End all checks."""
        tasks = [ticket.task for ticket in self._tickets.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

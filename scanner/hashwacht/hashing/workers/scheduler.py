"""Fair scheduling of workers: two lanes whose contents are served in turn.

Contents that the scanner found and contents that were handed in as uploads must not starve each
other: a burst in one lane delays the other by one turn.  Uploads never occupy the last worker if
there is more than one, because a client may deliver slowly on purpose.  Within a lane the clients
take turns, so that many contents of one delay each other client by one turn.

The holder of a slot may take the contents that wait behind its own along as one batch.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Generic, TypeVar

Input = TypeVar("Input")
Output = TypeVar("Output")


class SchedulerLane(IntEnum):
    """Where a content comes from: found by this process, or handed in by another one."""

    LOCAL = 0
    UPLOAD = 1


class ClientBusy(Exception):
    """A content waited too long while others of the same client were served or waiting."""


class _Ticket(Generic[Input, Output]):
    """A waiting thread.  *inputs* is what another slot may process with its own; often empty."""

    __slots__ = ("client", "event", "has_slot", "inputs", "outputs")

    def __init__(self, client: str = "", inputs: tuple[Input, ...] = ()) -> None:
        self.client = client
        self.event = threading.Event()
        self.inputs = inputs
        self.has_slot = False
        self.outputs: tuple[Output, ...] = ()


class _FairQueue(Generic[Input, Output]):
    """Waiting tickets: clients in turn, those of one client in the order of their arrival."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, deque[_Ticket[Input, Output]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, ticket: _Ticket[Input, Output]) -> None:
        self._clients.setdefault(ticket.client, deque()).append(ticket)
        self._count += 1

    def peek(self) -> _Ticket[Input, Output]:
        return next(iter(self._clients.values()))[0]

    def pop(self) -> _Ticket[Input, Output]:
        """Remove and return the next ticket; its client is the last in turn from now on."""
        client, tickets = self._clients.popitem(last=False)
        ticket = tickets.popleft()
        if tickets:
            self._clients[client] = tickets
        self._count -= 1
        return ticket

    def remove(self, ticket: _Ticket[Input, Output]) -> None:
        """Remove a ticket that may have been removed before."""
        tickets = self._clients.get(ticket.client, deque())
        if ticket in tickets:
            tickets.remove(ticket)
            self._count -= 1
            if not tickets:
                del self._clients[ticket.client]


class FairScheduler(Generic[Input, Output]):
    """Grants up to *slots* slots at a time.  Thread-safe."""

    def __init__(self, slots: int, batch_size: int = 1) -> None:
        """*batch_size* is the most inputs that one slot may process together."""
        self._slots, self._free, self._batch_size = slots, slots, batch_size
        self._limits = {SchedulerLane.LOCAL: slots, SchedulerLane.UPLOAD: max(1, slots - 1)}
        self._used = dict.fromkeys(SchedulerLane, 0)
        self._waiting = {lane: _FairQueue[Input, Output]() for lane in SchedulerLane}
        self._clients: Counter[str] = Counter()
        self._next = SchedulerLane.LOCAL
        self._lock = threading.Lock()

    @contextmanager
    def slot(
        self, lane: SchedulerLane, client: str = "", patience: float | None = None
    ) -> Iterator[None]:
        """Wait for a slot and hold it until the context is left.

        Raises ClientBusy after *patience* seconds if *client* has other slots or other contents
        that wait for one.
        """
        ticket: _Ticket[Input, Output] = _Ticket(client)
        try:
            self._wait(lane, ticket, patience)
            yield
        finally:
            self._leave(lane, ticket)

    def run_batched(
        self, lane: SchedulerLane, item: Input, work: Callable[[Sequence[Input]], Sequence[Output]]
    ) -> tuple[Output, ...]:
        """Process *item* in a slot of its own or with the batch of another; return its output.

        *work* returns one output for each input, in order, or none at all.  The result is empty
        if *work* returned none, or if it raised in the thread that holds the slot.
        """
        ticket: _Ticket[Input, Output] = _Ticket(inputs=(item,))
        batch: list[_Ticket[Input, Output]] = []
        try:
            self._wait(lane, ticket)
            if not ticket.has_slot:
                return ticket.outputs
            batch += self._take_batch(lane)
            outputs = work([item, *(value for other in batch for value in other.inputs)])
            for other, output in zip(batch, outputs[1:], strict=False):
                other.outputs = (output,)
            return tuple(outputs[:1])
        finally:
            self._leave(lane, ticket)
            for other in batch:
                other.event.set()

    def _wait(
        self, lane: SchedulerLane, ticket: _Ticket[Input, Output], patience: float | None = None
    ) -> None:
        with self._lock:
            self._clients[ticket.client] += 1
            self._waiting[lane].append(ticket)
            self._grant()
        if not ticket.event.wait(patience):
            with self._lock:
                if self._clients[ticket.client] > 1 and not ticket.has_slot:
                    raise ClientBusy
            ticket.event.wait()

    def _take_batch(self, lane: SchedulerLane) -> list[_Ticket[Input, Output]]:
        """Remove the tickets that share this slot: the next ones, as long as they have inputs.

        If few are waiting, each slot takes its share only, so that no worker stays idle.
        """
        batch: list[_Ticket[Input, Output]] = []
        with self._lock:
            waiting = self._waiting[lane]
            share = min(self._batch_size - 1, -(-len(waiting) // self._slots))
            while len(batch) < share and waiting.peek().inputs:
                batch.append(waiting.pop())
        return batch

    def _leave(self, lane: SchedulerLane, ticket: _Ticket[Input, Output]) -> None:
        """Release the slot; a thread that was interrupted before it had one stops waiting."""
        with self._lock:
            self._clients[ticket.client] -= 1
            if not self._clients[ticket.client]:
                del self._clients[ticket.client]
            if ticket.has_slot:
                self._free += 1
                self._used[lane] -= 1
                self._grant()
            else:
                self._waiting[lane].remove(ticket)

    def _grant(self) -> None:
        while self._free:
            lanes = (self._next, SchedulerLane(1 - self._next))
            lane = next((lane for lane in lanes if self._may_run(lane)), None)
            if lane is None:
                return
            self._free -= 1
            self._used[lane] += 1
            self._next = SchedulerLane(1 - lane)
            ticket = self._waiting[lane].pop()
            ticket.has_slot = True
            ticket.event.set()

    def _may_run(self, lane: SchedulerLane) -> bool:
        return bool(self._waiting[lane]) and self._used[lane] < self._limits[lane]

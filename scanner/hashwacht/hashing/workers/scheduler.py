"""Fair scheduling of workers: two lanes whose contents are served in turn.

Contents that the scanner found and contents that were handed in as uploads must not starve each
other: a burst in one lane delays the other by one turn.  Uploads never occupy the last worker if
there is more than one, because a client may deliver slowly on purpose.

The holder of a slot may take the contents that wait behind its own along as one batch.
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
    """Where a content comes from: found by this process, or handed in by another one."""

    LOCAL = 0
    UPLOAD = 1


class _Ticket(Generic[Input, Output]):
    """A waiting thread.  *inputs* is what another slot may process with its own; often empty."""

    __slots__ = ("event", "has_slot", "inputs", "outputs")

    def __init__(self, inputs: tuple[Input, ...] = ()) -> None:
        self.event = threading.Event()
        self.inputs = inputs
        self.has_slot = False
        self.outputs: tuple[Output, ...] = ()


class FairScheduler(Generic[Input, Output]):
    """Grants up to *slots* slots at a time.  Thread-safe; within a lane, first in, first out."""

    def __init__(self, slots: int, batch_size: int = 1) -> None:
        """*batch_size* is the most inputs that one slot may process together."""
        self._slots, self._free, self._batch_size = slots, slots, batch_size
        self._limits = {SchedulerLane.LOCAL: slots, SchedulerLane.UPLOAD: max(1, slots - 1)}
        self._used = dict.fromkeys(SchedulerLane, 0)
        self._waiting = {lane: deque[_Ticket[Input, Output]]() for lane in SchedulerLane}
        self._next = SchedulerLane.LOCAL
        self._lock = threading.Lock()

    @contextmanager
    def slot(self, lane: SchedulerLane) -> Iterator[None]:
        """Wait for a slot and hold it until the context is left."""
        ticket: _Ticket[Input, Output] = _Ticket()
        try:
            self._wait(lane, ticket)
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
        ticket: _Ticket[Input, Output] = _Ticket((item,))
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

    def _wait(self, lane: SchedulerLane, ticket: _Ticket[Input, Output]) -> None:
        with self._lock:
            self._waiting[lane].append(ticket)
            self._grant()
        ticket.event.wait()

    def _take_batch(self, lane: SchedulerLane) -> list[_Ticket[Input, Output]]:
        """Remove the tickets that share this slot: the next ones, as long as they have inputs.

        If few are waiting, each slot takes its share only, so that no worker stays idle.
        """
        batch: list[_Ticket[Input, Output]] = []
        with self._lock:
            waiting = self._waiting[lane]
            share = min(self._batch_size - 1, -(-len(waiting) // self._slots))
            while len(batch) < share and waiting[0].inputs:
                batch.append(waiting.popleft())
        return batch

    def _leave(self, lane: SchedulerLane, ticket: _Ticket[Input, Output]) -> None:
        """Release the slot; a thread that was interrupted before it had one stops waiting."""
        with self._lock:
            if ticket.has_slot:
                self._free += 1
                self._used[lane] -= 1
                self._grant()
            elif ticket in self._waiting[lane]:
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
            ticket = self._waiting[lane].popleft()
            ticket.has_slot = True
            ticket.event.set()

    def _may_run(self, lane: SchedulerLane) -> bool:
        return bool(self._waiting[lane]) and self._used[lane] < self._limits[lane]

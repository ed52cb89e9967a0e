"""The part of a client that lives in the event loop: slots, pace, breaker and connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from hashwacht.matching.services.breaker import Admission, Breaker
from hashwacht.matching.services.exchange import Exchange, Inquiry
from hashwacht.matching.fault import Fault
from hashwacht.matching.services.service import Service

T = TypeVar("T")
Read = Callable[[bytes], T | Fault]


class Session:
    """Around every request, from the outside in: a slot, a deadline, the breaker, repetition."""

    def __init__(self, service: Service, exchange: Exchange) -> None:
        self._service = service
        self._exchange = exchange
        self._slots = asyncio.Semaphore(service.concurrency)
        self._breaker = Breaker(service.breaking, time.monotonic)
        self._settled = asyncio.Event()  # set while no probe is on its way
        self._resume_at = 0.0  # the service asked all of us to wait until then
        self._asking: set[asyncio.Task[object]] = set()
        self._closed = False
        self.loop = asyncio.get_running_loop()

    async def ask(self, inquiries: Sequence[Inquiry], read: Read[T]) -> list[T | Fault]:
        """Make every request; what deadline or ``aclose`` cut off is a Fault like others."""
        limit = self._service.patience.lookup
        unreached = Fault(f"not answered before the end of the lookup (at most {limit:g} s)")
        results: list[T | Fault] = [unreached] * len(inquiries)
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            async with asyncio.timeout(limit):
                await self._ask_into(results, inquiries, read)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if not self._closed:
                raise
        finally:
            self._asking.discard(task)
        return results

    async def _ask_into(
        self, results: list[T | Fault], inquiries: Sequence[Inquiry], read: Read[T]
    ) -> None:
        """Put every result into its place, as many at a time as there are slots."""
        left = iter(enumerate(inquiries))

        async def work() -> None:
            for index, inquiry in left:
                async with self._slots:
                    results[index] = await self._in_time(inquiry, read)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._service.concurrency, len(inquiries))):
                group.create_task(work())

    async def _in_time(self, inquiry: Inquiry, read: Read[T]) -> T | Fault:
        """Ask with all repetitions before the deadline of one request."""
        limit = self._service.patience.request
        deadline = time.monotonic() + limit
        try:
            async with asyncio.timeout(limit):
                return await self._repeat(inquiry, read, deadline)
        except TimeoutError:
            late = Fault(f"not answered within {limit:g} s")
            self._breaker.failed(late)
            return late

    async def _repeat(self, inquiry: Inquiry, read: Read[T], deadline: float) -> T | Fault:
        """Ask until there is an answer, a lasting fault, or no attempt or time left."""
        attempt = 0
        while True:
            attempt += 1
            admission = await self._admission()
            if admission is Admission.STOP:
                return self._breaker.stopped()
            probe = admission is Admission.PROBE
            result = await self._once(inquiry, read, probe=probe)
            if not isinstance(result, Fault):
                return result
            pause = self._service.retries.pause(attempt, result.wait)
            if probe or not self._worth(result, attempt, pause, deadline):
                if not probe:
                    self._breaker.failed(result)
                return result
            if result.wait is not None:
                self._resume_at = max(self._resume_at, time.monotonic() + result.wait)
            await asyncio.sleep(pause)

    def _worth(self, fault: Fault, attempt: int, pause: float, deadline: float) -> bool:
        """Tell if the request should be made again after *pause* seconds."""
        retries = self._service.retries
        in_time = pause <= retries.longest_pause and time.monotonic() + pause < deadline
        return fault.retryable and attempt < retries.attempts and in_time

    async def _admission(self) -> Admission:
        """Wait for what the service asked and for a probe on its way, then ask the breaker."""
        if (left := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(left)
        while (admission := self._breaker.admit()) is Admission.WAIT:
            await self._settled.wait()
        return admission

    async def _once(self, inquiry: Inquiry, read: Read[T], *, probe: bool) -> T | Fault:
        """Make one exchange and tell the breaker of an answer, and of whatever a probe meets."""
        if probe:
            self._settled.clear()
        result: T | Fault = Fault("the probe was given up")
        try:
            heard = await self._exchange(inquiry)
            result = heard if isinstance(heard, Fault) else read(heard)
        finally:
            if not isinstance(result, Fault):
                self._breaker.answered()
            elif probe:
                self._breaker.failed(result, probe=True)
            if probe:
                self._settled.set()
        return result

    async def aclose(self) -> None:
        """Cut off what is being asked and close the connections."""
        self._closed = True
        for task in self._asking:
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking)
        await self._exchange.aclose()

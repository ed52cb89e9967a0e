"""One service, asked from any thread: the synchronous face of ``client``.

One event loop in one background thread, through which threads ask services.

A process needs one, made where its parts are composed and handed to every client.  Nothing
starts before the first use.  It does not care for event loops of the surrounding program:
whoever calls from a coroutine blocks it for as long as the lookup takes, so ASGI off-loads.

After a fork the child finds the thread gone: its first use starts a new one, with new
connections.  What the parent had open is left alone, never closed, since both share the
sockets and the kernel's poll set.

The part of a client that lives in the event loop: slots, pace, breaker and connections.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hashwacht.matching.questions import ServiceFault
from hashwacht.matching.services.http import HttpExchange, HttpRequest
from hashwacht.matching.services.retry import Admission, CircuitBreaker
from hashwacht.matching.services.service_config import ServiceConfig

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Running:
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    pid: int


class LoopThread:
    """Runs coroutines for any number of threads.  Thread-safe."""

    def __init__(self) -> None:
        self._locks: dict[int, threading.Lock] = {}
        self._running: _Running | None = None
        self._inherited: list[_Running] = []
        self._closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* in the loop and wait for its result; an interrupt cancels it."""
        running = self._start(work)
        if threading.current_thread() is running.thread:
            work.close()
            raise RuntimeError("a lookup cannot wait for itself: called from the lookup thread")
        future = asyncio.run_coroutine_threadsafe(work, running.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread, after all clients were closed.  Further use is a mistake."""
        with self._lock():
            self._closed = True
            running, self._running = self._running, None
        if running is None or running.pid != os.getpid():
            return
        running.loop.call_soon_threadsafe(running.loop.stop)
        running.thread.join()

    def _start(self, work: Coroutine[Any, Any, T]) -> _Running:
        """Give the loop of this process, started if need be."""
        running = self._running
        if running is not None and running.pid == os.getpid():
            return running
        with self._lock():
            if self._closed:
                work.close()
                raise RuntimeError("the lookup thread was closed")
            if self._running is not None and self._running.pid != os.getpid():
                self._inherited.append(self._running)
                self._running = None
            if self._running is None:
                self._running = _launch()
            return self._running

    def _lock(self) -> threading.Lock:
        """One lock per process: another thread may have held the parent's when it forked."""
        return self._locks.setdefault(os.getpid(), threading.Lock())


def _launch() -> _Running:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_serve, args=(loop,), name="hashwacht-lookup", daemon=True)
    thread.start()
    return _Running(loop, thread, os.getpid())


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run until stopped, then cancel what is left and close the loop."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


Read = Callable[[bytes], T | ServiceFault]


class ServiceSession:
    """Around every request, from the outside in: a slot, a deadline, the breaker, repetition."""

    def __init__(self, service: ServiceConfig, exchange: HttpExchange) -> None:
        self._service = service
        self._exchange = exchange
        self._slots = asyncio.Semaphore(service.concurrency)
        self._breaker = CircuitBreaker(service.breaker_policy, time.monotonic)
        self._settled = asyncio.Event()  # set while no probe is on its way
        self._resume_at = 0.0  # the service asked all of us to wait until then
        self._asking: set[asyncio.Task[object]] = set()
        self._closed = False
        self.loop = asyncio.get_running_loop()

    async def request_all(
        self, requests: Sequence[HttpRequest], read: Read[T]
    ) -> list[T | ServiceFault]:
        """Make every request; what deadline or ``aclose`` cut off is a Fault like others."""
        limit = self._service.timeouts.lookup
        unreached = ServiceFault(f"not answered before the end of the lookup (at most {limit:g} s)")
        results: list[T | ServiceFault] = [unreached] * len(requests)
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            async with asyncio.timeout(limit):
                await self._ask_into(results, requests, read)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if not self._closed:
                raise
        finally:
            self._asking.discard(task)
        return results

    async def _ask_into(
        self, results: list[T | ServiceFault], requests: Sequence[HttpRequest], read: Read[T]
    ) -> None:
        """Put every result into its place, as many at a time as there are slots."""
        left = iter(enumerate(requests))

        async def work() -> None:
            for index, request in left:
                async with self._slots:
                    results[index] = await self._in_time(request, read)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._service.concurrency, len(requests))):
                group.create_task(work())

    async def _in_time(self, request: HttpRequest, read: Read[T]) -> T | ServiceFault:
        """Ask with all repetitions before the deadline of one request."""
        limit = self._service.timeouts.request
        deadline = time.monotonic() + limit
        try:
            async with asyncio.timeout(limit):
                return await self._repeat(request, read, deadline)
        except TimeoutError:
            late = ServiceFault(f"not answered within {limit:g} s")
            self._breaker.record_failure(late)
            return late

    async def _repeat(
        self, request: HttpRequest, read: Read[T], deadline: float
    ) -> T | ServiceFault:
        """Ask until there is an answer, a lasting fault, or no attempt or time left."""
        attempt = 0
        while True:
            attempt += 1
            admission = await self._admission()
            if admission is Admission.STOP:
                return self._breaker.open_fault()
            probe = admission is Admission.PROBE
            result = await self._once(request, read, probe=probe)
            if not isinstance(result, ServiceFault):
                return result
            pause = self._service.retries.delay(attempt, result.wait)
            if probe or not self._worth(result, attempt, pause, deadline):
                if not probe:
                    self._breaker.record_failure(result)
                return result
            if result.wait is not None:
                self._resume_at = max(self._resume_at, time.monotonic() + result.wait)
            await asyncio.sleep(pause)

    def _worth(self, fault: ServiceFault, attempt: int, pause: float, deadline: float) -> bool:
        """Tell if the request should be made again after *pause* seconds."""
        retries = self._service.retries
        in_time = pause <= retries.max_delay and time.monotonic() + pause < deadline
        return fault.retryable and attempt < retries.max_attempts and in_time

    async def _admission(self) -> Admission:
        """Wait for what the service asked and for a probe on its way, then ask the breaker."""
        if (left := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(left)
        while (admission := self._breaker.admit()) is Admission.WAIT:
            await self._settled.wait()
        return admission

    async def _once(self, request: HttpRequest, read: Read[T], *, probe: bool) -> T | ServiceFault:
        """Make one exchange and tell the breaker of an answer, and of whatever a probe meets."""
        if probe:
            self._settled.clear()
        result: T | ServiceFault = ServiceFault("the probe was given up")
        try:
            heard = await self._exchange(request)
            result = heard if isinstance(heard, ServiceFault) else read(heard)
        finally:
            if not isinstance(result, ServiceFault):
                self._breaker.record_success()
            elif probe:
                self._breaker.record_failure(result, probe=True)
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


class ServiceClient:
    """Asks one service many things at once.  Thread-safe; no fault of the far side is raised."""

    def __init__(self, service: ServiceConfig, loop: LoopThread) -> None:
        """Open nothing before the first request; *loop* belongs to the caller."""
        self.service = service
        self._loop = loop
        self._session: ServiceSession | None = None
        self._inherited: list[ServiceSession] = []
        self._closed = False

    def request_all(
        self, requests: Sequence[HttpRequest], read: Callable[[bytes], T | ServiceFault]
    ) -> list[T | ServiceFault]:
        """Make every request and give, in order, what *read* makes of its answer, or a Fault.

        *read* gets the body of an answer with status 200 and gives a Fault for one it does
        not understand; it runs in the lookup thread and must be quick.
        Raises ConfigurationError for unusable certificates, RuntimeError after ``close``.
        """
        if self._closed:
            raise RuntimeError("the client was closed")
        return self._loop.run(self._ask(requests, read)) if requests else []

    def close(self) -> None:
        """Close the connections.  Again: does nothing."""
        if not self._closed:
            self._closed = True
            if self._session is not None:
                self._loop.run(self._hang_up(self._session))

    async def _ask(
        self, requests: Sequence[HttpRequest], read: Callable[[bytes], T | ServiceFault]
    ) -> list[T | ServiceFault]:
        return await self._session_here().request_all(requests, read)

    def _session_here(self) -> ServiceSession:
        """Give the session of this loop.  One inherited over a fork is kept, never touched."""
        if self._session is not None and self._session.loop is not asyncio.get_running_loop():
            self._inherited.append(self._session)
            self._session = None
        if self._session is None:
            from hashwacht.matching.services.http import open_transport

            self._session = ServiceSession(
                self.service, HttpExchange(self.service, open_transport(self.service))
            )
        return self._session

    async def _hang_up(self, session: ServiceSession) -> None:
        if session.loop is asyncio.get_running_loop():
            await session.aclose()

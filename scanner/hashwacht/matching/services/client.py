"""One matching service, asked from any thread through an event loop in a background thread.

Every matcher has a :class:`LoopThread` of its own, so that a service whose answers keep a parser
busy cannot delay another one.  Nothing starts before the first use.  It does not depend on an event
loop of the surrounding program: a call from a coroutine blocks it for as long as the lookup takes.

After a fork the thread does not exist in the child: its first use starts a new one, with new
connections.  Those opened by the parent are kept but never closed, because both processes share
the sockets and the kernel's poll set.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hashwacht.core.ports import Query
from hashwacht.core.types import Answer, Diagnostic
from hashwacht.ipc.messages import SignalKey
from hashwacht.matching.lookup import ServiceAnswer, ServiceFault, build_answers, lookup_keys
from hashwacht.matching.services.base import (
    ServiceConfig,
    ServiceProtocol,
    evaluate_check,
    probe_signals,
)
from hashwacht.matching.services.http import HttpExchange, open_transport
from hashwacht.matching.services.retry import Admission, CircuitBreaker

T = TypeVar("T")
Batch = Sequence[SignalKey]
BatchResult = Sequence[ServiceAnswer] | ServiceFault
"""An answer for each signal of a batch, or why there is none for all of them."""


class ServiceMatcher:
    """Looks signals up at one service.  Implements the Matcher port; thread-safe."""

    def __init__(self, name: str, config: ServiceConfig, protocol: ServiceProtocol) -> None:
        """Open nothing before the first request."""
        self.name = name
        self.accepts = protocol.accepts
        self.revision = protocol.revision(config.base_url)
        self._config, self._protocol, self._loop = config, protocol, LoopThread()
        self._session: ServiceSession | None = None
        self._inherited: list[ServiceSession] = []
        self._closed = False

    def lookup(self, queries: Sequence[Query]) -> list[Answer]:
        """Look up each signal once, with as many requests in flight as configured.

        Raises ConfigurationError for unusable certificates, RuntimeError after ``close``.
        """
        asked_at = time.time()
        answers = self._ask(lookup_keys(queries, self.accepts))
        return build_answers(
            queries, answers.get, matcher=self.name, asked_at=asked_at, revision=self.revision
        )

    def check(self) -> Diagnostic:
        """Look up the known signal, which must match, or else made-up ones, which must not."""
        known = self._protocol.known_signal
        answers = self._ask(probe_signals(self.accepts) if known is None else [known])
        return evaluate_check(self.name, answers, expect_match=known is not None)

    def close(self) -> None:
        """Close the connections and stop the thread.  A second call does nothing."""
        if not self._closed:
            self._closed = True
            self._loop.close(self._close_session)

    def _ask(self, signals: Batch) -> dict[SignalKey, ServiceAnswer]:
        if self._closed:
            raise RuntimeError("the matcher is closed")
        size = self._protocol.batch_size
        batches = [signals[start : start + size] for start in range(0, len(signals), size)]
        results = self._loop.run(self._lookup_all(batches)) if batches else []
        answers: dict[SignalKey, ServiceAnswer] = {}
        for batch, result in zip(batches, results, strict=True):
            for_each = [result] * len(batch) if isinstance(result, ServiceFault) else result
            answers.update(zip(batch, for_each, strict=True))
        return answers

    async def _lookup_all(self, batches: Sequence[Batch]) -> list[BatchResult]:
        return await self._current_session().lookup_all(batches)

    def _current_session(self) -> ServiceSession:
        """Return the session of this loop.  One inherited over a fork is kept, never touched."""
        if self._session is not None and self._session.loop is not asyncio.get_running_loop():
            self._inherited.append(self._session)
            self._session = None
        if self._session is None:
            exchange = HttpExchange(self._config, open_transport(self._config))
            self._session = ServiceSession(self._config, self._protocol, exchange)
        return self._session

    async def _close_session(self) -> None:
        if self._session is not None and self._session.loop is asyncio.get_running_loop():
            await self._session.aclose()


class ServiceSession:
    """The part of a matcher inside the event loop.

    Every request passes, from the outside in, a slot, a deadline, the breaker, retries, and the
    deadline of its exchanges.  Whatever an answer does to the libraries that read it is a fault.
    """

    def __init__(
        self, config: ServiceConfig, protocol: ServiceProtocol, exchange: HttpExchange
    ) -> None:
        self._config, self._protocol, self._exchange = config, protocol, exchange
        self._slots = asyncio.Semaphore(config.concurrency)
        self._breaker = CircuitBreaker(config.breaker_policy, time.monotonic)
        self._probe_done = asyncio.Event()  # set while no probe is in flight
        self._resume_at = 0.0  # no request starts before this time, at the service's wish
        self._lookups: set[asyncio.Task[object]] = set()
        self._closed = False
        self.loop = asyncio.get_running_loop()

    async def lookup_all(self, batches: Sequence[Batch]) -> list[BatchResult]:
        """Look up every batch; what the deadline or ``aclose`` cuts off is a ServiceFault."""
        limit = self._config.timeouts.lookup
        timed_out = ServiceFault(f"not answered before the end of the lookup (at most {limit:g} s)")
        results: list[BatchResult] = [timed_out] * len(batches)
        task = asyncio.current_task()
        assert task is not None
        self._lookups.add(task)
        try:
            async with asyncio.timeout(limit):
                await self._lookup_into(results, batches)
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            if not self._closed:
                raise
        finally:
            self._lookups.discard(task)
        return results

    async def _lookup_into(self, results: list[BatchResult], batches: Sequence[Batch]) -> None:
        pending = iter(enumerate(batches))

        async def work() -> None:
            for index, batch in pending:
                async with self._slots:
                    results[index] = await self._lookup_in_time(batch)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._config.concurrency, len(batches))):
                group.create_task(work())

    async def _lookup_in_time(self, batch: Batch) -> BatchResult:
        limit = self._config.timeouts.request
        deadline = time.monotonic() + limit
        try:
            async with asyncio.timeout(limit):
                return await self._retry(batch, deadline)
        except TimeoutError:
            fault = ServiceFault(f"not answered within {limit:g} s")
            self._breaker.record_failure(fault)
            return fault

    async def _retry(self, batch: Batch, deadline: float) -> BatchResult:
        """Repeat until there is an answer, a permanent fault, or no attempt or time left."""
        attempt, exchange_time = 0, self._config.timeouts.exchange
        while True:
            attempt += 1
            admission = await self._admission()
            if admission is Admission.STOP:
                return self._breaker.open_fault()
            probe = admission is Admission.PROBE
            begun = time.monotonic()
            result = await self._attempt(batch, exchange_time, probe=probe)
            exchange_time -= time.monotonic() - begun
            if not isinstance(result, ServiceFault):
                return result
            pause = self._config.retries.delay(attempt, result.wait)
            in_time = exchange_time > 0 and time.monotonic() + pause < deadline
            if probe or not (in_time and self._may_retry(result, attempt, pause)):
                if not probe:
                    self._breaker.record_failure(result)
                return result
            if result.wait is not None:
                self._resume_at = max(self._resume_at, time.monotonic() + result.wait)
            await asyncio.sleep(pause)

    def _may_retry(self, fault: ServiceFault, attempt: int, pause: float) -> bool:
        retries = self._config.retries
        return fault.retryable and attempt < retries.max_attempts and pause <= retries.max_delay

    async def _admission(self) -> Admission:
        """Wait for the time that the service asked for and for a probe, then ask the breaker."""
        if (remaining := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(remaining)
        while (admission := self._breaker.admit()) is Admission.WAIT:
            await self._probe_done.wait()
        return admission

    async def _attempt(self, batch: Batch, seconds: float, *, probe: bool) -> BatchResult:
        """Make one exchange; report an answer, and any outcome of a probe, to the breaker."""
        if probe:
            self._probe_done.clear()
        result: BatchResult = ServiceFault("the probe was abandoned")
        try:
            result = await self._exchange_in_time(batch, seconds)
        finally:
            if not isinstance(result, ServiceFault):
                self._breaker.record_success()
            elif probe:
                self._breaker.record_failure(result, probe=True)
            if probe:
                self._probe_done.set()
        return result

    async def _exchange_in_time(self, batch: Batch, seconds: float) -> BatchResult:
        """Return the parsed answer, or a fault for every way in which there is none."""
        try:
            async with asyncio.timeout(seconds):
                body = await self._exchange(self._protocol.request(batch))
            return body if isinstance(body, ServiceFault) else self._protocol.parse(body, batch)
        except TimeoutError:
            limit = self._config.timeouts.exchange
            return ServiceFault(f"not answered within {limit:g} s")
        except Exception as error:  # noqa: BLE001  # one answer must not end the whole lookup
            return ServiceFault(f"the answer cannot be read: {type(error).__name__}")

    async def aclose(self) -> None:
        """Cancel the lookups in progress and close the connections."""
        self._closed = True
        for task in self._lookups:
            task.cancel()
        if self._lookups:
            await asyncio.wait(self._lookups)
        await self._exchange.aclose()


@dataclass(frozen=True, slots=True)
class _RunningLoop:
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    pid: int


class LoopThread:
    """An event loop in a thread of its own that runs coroutines for any number of threads."""

    def __init__(self) -> None:
        self._locks: dict[int, threading.Lock] = {}
        self._running: _RunningLoop | None = None
        self._inherited: list[_RunningLoop] = []
        self._closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* in the loop and wait for its result; an interrupt cancels it."""
        with self._lock():  # nothing is scheduled after ``close`` has stopped the loop
            running = self._start(work)
            if threading.current_thread() is running.thread:
                work.close()
                raise RuntimeError("a lookup cannot be started from the lookup thread")
            future = asyncio.run_coroutine_threadsafe(work, running.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self, finish: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run *finish* behind everything that was begun, then stop; further use is an error."""
        with self._lock():
            self._closed = True
            running, self._running = self._running, None
            if running is None or running.pid != os.getpid():
                return
            finished = asyncio.run_coroutine_threadsafe(finish(), running.loop)
        finished.result()
        running.loop.call_soon_threadsafe(running.loop.stop)
        running.thread.join()

    def _start(self, work: Coroutine[Any, Any, T]) -> _RunningLoop:
        """Return the loop of this process, started if necessary; the caller holds the lock."""
        if self._closed:
            work.close()
            raise RuntimeError("the lookup thread is closed")
        if self._running is not None and self._running.pid != os.getpid():
            self._inherited.append(self._running)
            self._running = None
        if self._running is None:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(
                target=_run_loop, args=(loop,), name="hashwacht-lookup", daemon=True
            )
            thread.start()
            self._running = _RunningLoop(loop, thread, os.getpid())
        return self._running

    def _lock(self) -> threading.Lock:
        """One lock per process: another thread may have held the parent's during the fork."""
        return self._locks.setdefault(os.getpid(), threading.Lock())


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()

"""One event loop in one background thread, through which threads ask services.

A process needs one, made where its parts are composed and handed to every client.  Nothing
starts before the first use.  It does not care for event loops of the surrounding program:
whoever calls from a coroutine blocks it for as long as the lookup takes, so ASGI off-loads.

After a fork the child finds the thread gone: its first use starts a new one, with new
connections.  What the parent had open is left alone, never closed, since both share the
sockets and the kernel's poll set.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

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

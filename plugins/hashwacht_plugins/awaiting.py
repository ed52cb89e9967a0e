"""Wait for threads from a coroutine, under asyncio or trio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any


async def wait_any(futures: Iterable[Future[Any]], seconds: float) -> None:
    """Return when one of *futures* is done, or after *seconds*; cancel none of them."""
    event, wake = _thread_event()
    for future in futures:
        future.add_done_callback(wake)
    await with_timeout(seconds, event.wait)


async def with_timeout(seconds: float, operation: Callable[[], Awaitable[object]]) -> None:
    """Run *operation*, and cancel it after *seconds*."""
    trio = _trio()
    if trio is None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await operation()
    else:
        with trio.move_on_after(seconds):
            await operation()


def _thread_event() -> tuple[Any, Callable[[object], None]]:
    """Return an event, and a function that sets it from any thread."""
    trio = _trio()
    if trio is None:
        event: Any = asyncio.Event()
        schedule, ended = asyncio.get_running_loop().call_soon_threadsafe, RuntimeError
    else:
        event = trio.Event()
        schedule, ended = trio.lowlevel.current_trio_token().run_sync_soon, trio.RunFinishedError

    def wake(_: object) -> None:
        with suppress(ended):  # the event loop has ended
            schedule(event.set)

    return event, wake


def lock() -> AbstractAsyncContextManager[Any]:
    """Return a lock for the event loop that runs this coroutine."""
    trio = _trio()
    current: AbstractAsyncContextManager[Any] = asyncio.Lock() if trio is None else trio.Lock()
    return current


def _trio() -> Any:
    """Return trio if it runs this task, None for asyncio.  Raises RuntimeError for neither."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is None:
            message = "Hashwacht needs a server that runs asyncio or trio"
            raise RuntimeError(message) from None
        return trio
    return None

"""Waiting for threads from a coroutine, under asyncio as well as under trio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any


async def wait_any(futures: Iterable[Future[Any]], seconds: float) -> None:
    """Return when one of *futures* is done, or after *seconds*.  None of them is cancelled."""
    woken, wake = _alarm()
    for each in futures:
        each.add_done_callback(wake)
    await with_timeout(seconds, woken.wait)


async def with_timeout(seconds: float, act: Callable[[], Awaitable[object]]) -> None:
    """Wait for *act*, and cut it off after *seconds*."""
    trio = _trio()
    if trio is None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await act()
    else:
        with trio.move_on_after(seconds):
            await act()


def _alarm() -> tuple[Any, Callable[[object], None]]:
    """Return an event to wait for, and the function that sets it from any thread."""
    trio = _trio()
    if trio is None:
        woken: Any = asyncio.Event()
        tell, over = asyncio.get_running_loop().call_soon_threadsafe, RuntimeError
    else:
        woken = trio.Event()
        tell, over = trio.lowlevel.current_trio_token().run_sync_soon, trio.RunFinishedError

    def wake(_: object) -> None:
        with suppress(over):  # nobody waits any more
            tell(woken.set)

    return woken, wake


def lock() -> AbstractAsyncContextManager[Any]:
    """Make a lock for whatever runs this coroutine."""
    trio = _trio()
    made: AbstractAsyncContextManager[Any] = asyncio.Lock() if trio is None else trio.Lock()
    return made


def _trio() -> Any:
    """Return trio if it runs this task, None for asyncio.  Raises RuntimeError if neither does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is None:
            message = "this needs a server that runs asyncio or trio"
            raise RuntimeError(message) from None
        return trio
    return None

"""Waiting for threads from a coroutine, under asyncio as well as under trio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any


async def any_done(futures: Iterable[Future[Any]], seconds: float) -> None:
    """Return when one of *futures* is done, or after *seconds*.  None of them is cancelled."""
    trio = _trio()
    if trio is None:
        await _any_done_in_asyncio(futures, seconds)
        return
    token, woken = trio.lowlevel.current_trio_token(), trio.Event()

    def wake(_: object) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(woken.set)

    for each in futures:
        each.add_done_callback(wake)
    with trio.move_on_after(seconds):
        await woken.wait()


async def _any_done_in_asyncio(futures: Iterable[Future[Any]], seconds: float) -> None:
    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(woken.set)

    for each in futures:
        each.add_done_callback(wake)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await woken.wait()


def lock() -> AbstractAsyncContextManager[Any]:
    """Make a lock for whatever runs this coroutine."""
    trio = _trio()
    made: AbstractAsyncContextManager[Any] = asyncio.Lock() if trio is None else trio.Lock()
    return made


def _trio() -> Any:
    """Give trio if it runs us, None for asyncio.  Raises RuntimeError if neither does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is None:
            message = "this needs a server that runs asyncio or trio"
            raise RuntimeError(message) from None
        return trio
    return None

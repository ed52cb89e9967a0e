"""A front of the gateway that serves in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Front(Protocol):
    """What the gateway runs."""

    async def start(self, listeners: Sequence[socket.socket]) -> None:
        """Serve *listeners*."""

    async def close(self) -> None:
        """End."""


class FrontLoop:
    """The event loop of a front, in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of *work* in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def call(self, function: Callable[[], object]) -> None:
        """Call *function* in the loop, and wait for it."""

        async def work() -> None:
            function()

        self.run(work())

    def close(self) -> None:
        """Cancel what still runs, as asyncio.run does, and end the loop and its thread."""

        async def cancel() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@contextmanager
def running_front(front: Front, *listeners: socket.socket) -> Iterator[FrontLoop]:
    """Serve *listeners* by *front* in a thread."""
    loop = FrontLoop()
    try:
        loop.run(front.start(listeners))
        try:
            yield loop
        finally:
            loop.run(front.close())
    finally:
        loop.close()


def unix_listener(path: Path) -> socket.socket:
    """Listen on a Unix socket at *path*."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    return listener


def tcp_listener() -> tuple[socket.socket, str]:
    """Listen on a free port of the loopback interface; return its URL as well."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"

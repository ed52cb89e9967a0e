"""One service, asked from any thread: the synchronous face of :mod:`hashwacht.matching.services.session`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from hashwacht.matching.services.exchange import Exchange, Inquiry
from hashwacht.matching.fault import Fault
from hashwacht.matching.services.loop import LoopThread
from hashwacht.matching.services.service import Service
from hashwacht.matching.services.session import Session

T = TypeVar("T")


class Client:
    """Asks one service many things at once.  Thread-safe; no fault of the far side is raised."""

    def __init__(self, service: Service, loop: LoopThread) -> None:
        """Open nothing before the first request; *loop* belongs to the caller."""
        self.service = service
        self._loop = loop
        self._session: Session | None = None
        self._inherited: list[Session] = []
        self._closed = False

    def ask(
        self, inquiries: Sequence[Inquiry], read: Callable[[bytes], T | Fault]
    ) -> list[T | Fault]:
        """Make every request and give, in order, what *read* makes of its answer, or a Fault.

        *read* gets the body of an answer with status 200 and gives a Fault for one it does
        not understand; it runs in the lookup thread and must be quick.
        Raises ConfigurationError for unusable certificates, RuntimeError after ``close``.
        """
        if self._closed:
            raise RuntimeError("the client was closed")
        return self._loop.run(self._ask(inquiries, read)) if inquiries else []

    def close(self) -> None:
        """Close the connections.  Again: does nothing."""
        if not self._closed:
            self._closed = True
            if self._session is not None:
                self._loop.run(self._hang_up(self._session))

    async def _ask(
        self, inquiries: Sequence[Inquiry], read: Callable[[bytes], T | Fault]
    ) -> list[T | Fault]:
        return await self._session_here().ask(inquiries, read)

    def _session_here(self) -> Session:
        """Give the session of this loop.  One inherited over a fork is kept, never touched."""
        if self._session is not None and self._session.loop is not asyncio.get_running_loop():
            self._inherited.append(self._session)
            self._session = None
        if self._session is None:
            from hashwacht.matching.services.transport import open_transport

            self._session = Session(
                self.service, Exchange(self.service, open_transport(self.service))
            )
        return self._session

    async def _hang_up(self, session: Session) -> None:
        if session.loop is asyncio.get_running_loop():
            await session.aclose()

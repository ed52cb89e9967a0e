"""A matcher whose service always sends the same body: for the parsing of answers, no network."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from hashwacht.matching.lookup import ServiceFault
from hashwacht.matching.services.base import HttpRequest, ServiceConfig, ServiceProtocol
from hashwacht.matching.services.client import Batch, BatchResult, LoopThread, ServiceMatcher

T = TypeVar("T")


class _InlineLoop(LoopThread):
    """Runs a coroutine that never waits."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            work.send(None)
        except StopIteration as stop:
            result: T = stop.value
            return result
        raise AssertionError("the coroutine waits")


class CannedMatcher(ServiceMatcher):
    """Records the requests and parses *body* for each of them."""

    def __init__(self, name: str, protocol: ServiceProtocol, body: bytes | ServiceFault) -> None:
        super().__init__(name, ServiceConfig("https://canned.example"), protocol)
        self._loop = _InlineLoop()
        self.requests: list[HttpRequest] = []
        self._body = body

    async def _lookup_all(self, batches: Sequence[Batch]) -> list[BatchResult]:
        self.requests += map(self._protocol.request, batches)
        if isinstance(self._body, ServiceFault):
            return [self._body] * len(batches)
        return [self._protocol.parse(self._body, batch) for batch in batches]

"""One request to a service and its answer: bytes, or why there are none."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

import httpx

from hashwacht.matching.fault import Fault
from hashwacht.matching.services.http_fault import TRANSPORT_ERRORS, of_error, of_status
from hashwacht.matching.services.retry import retry_after
from hashwacht.matching.services.service import USER_AGENT, Service, basic


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What to send: method, path with query (ready for the wire), content type and body."""

    method: str
    path: str
    content_type: str = ""
    body: bytes = b""


class Exchange:
    """Makes requests over one transport: the same few headers always, no redirect followed."""

    def __init__(self, service: Service, transport: httpx.AsyncBaseTransport) -> None:
        self._limit = service.max_answer
        self._transport = transport
        base = service.base_url.rstrip("/")
        self._url = lru_cache(64)(lambda path: httpx.URL(base + path))  # parsing takes 15 µs
        always = [("User-Agent", USER_AGENT)]
        if service.credential is not None:
            always.append(("Authorization", basic(service.credential)))
        self._headers = lru_cache(8)(
            lambda kind: httpx.Headers(always + ([("Content-Type", kind)] if kind else []))
        )
        patience = service.patience
        timeout = {"connect": patience.connect, "read": patience.read, "write": patience.read}
        self._extensions = {"timeout": timeout}

    async def __call__(self, inquiry: Inquiry) -> bytes | Fault:
        """Give the body of an answer with status 200, at most so long as allowed, or a Fault."""
        try:
            response = await self._transport.handle_async_request(self._request(inquiry))
            try:
                if response.status_code != HTTPStatus.OK:
                    wait = retry_after(response.headers.get("retry-after"), time.time())
                    return of_status(response.status_code, wait)
                return await self._body(response)
            finally:
                await response.aclose()
        except TRANSPORT_ERRORS as error:
            return of_error(error)

    def _request(self, inquiry: Inquiry) -> httpx.Request:
        return httpx.Request(
            inquiry.method,
            self._url(inquiry.path),
            headers=self._headers(inquiry.content_type),
            content=inquiry.body,
            extensions=self._extensions,
        )

    async def _body(self, response: httpx.Response) -> bytes | Fault:
        """Read as it comes, undecoded: whoever answers without end must not fill the memory."""
        body = b""
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for chunk in response.stream:
            body += chunk
            if len(body) > self._limit:
                return Fault(f"an answer of more than {self._limit} bytes")
        return body

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

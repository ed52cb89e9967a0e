"""HTTP to a matching service: TLS, the transport, one request and its answer or its fault.

Requests are httpx's, over aiohttp's connections.  Chosen by measurement: one client core, another
for a bare asyncio server on loopback, one MD5 a request, requests per second and core of the
client (Python 3.11, httpx 0.28.1, aiohttp 3.14, httpx-aiohttp 0.2; two runs, the lower figure):

======================================================  =====  =====  =====
requests in flight                                          8     16     32
======================================================  =====  =====  =====
httpx.AsyncClient, its own pool                           957    457    249
one httpx.AsyncClient per connection                      963    949    725
one httpx.Client, that many threads                      2158   1826   1130
one httpx.Client per thread                              1646   1523    878
httpx.AsyncClient over the aiohttp transport             2691   2968   3021
**the aiohttp transport asked directly**                 5208   4924   4771
aiohttp alone, without httpx's types (the bound)        10540  13273  11901
a whole eokm lookup: slots, deadlines, breaker, answers  4406   4804   4761
======================================================  =====  =====  =====

``AsyncClient`` adds redirects, cookies, proxies from the environment and a log line with the
address at INFO.  All of these are unwanted, so the transport is used directly.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import time
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from aiohttp.connector import AddrInfoType
from httpx_aiohttp import AiohttpTransport

from hashwacht import __version__
from hashwacht.core.errors import ConfigurationError
from hashwacht.core.types import Reason
from hashwacht.matching.lookup import ServiceFault
from hashwacht.matching.services.base import HttpRequest, ServiceConfig
from hashwacht.matching.services.retry import retry_after
from hashwacht.secrets import Credential

USER_AGENT = f"hashwacht/{__version__}"


def tls_context(config: ServiceConfig) -> ssl.SSLContext:
    """Return the TLS context of a service.  Raises ConfigurationError for unusable PEM files.

    An encrypted key of the client certificate is refused: it would prompt for a password.
    """
    context = context_trusting(config.ca_file)
    if config.client_cert is None:
        return context
    try:
        context.load_cert_chain(config.client_cert, config.client_key, password=lambda: "")
    except OSError as error:
        raise ConfigurationError(
            f"{config.client_cert}: unusable client certificate: {error.strerror or 'malformed'}",
            advice="Use PEM files of the certificate and its unencrypted key, readable by this"
            " user.",
        ) from error
    return context


def context_trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the authorities in *ca_file*.  Raises ConfigurationError.

    Certificate and host name are verified, with TLS 1.2 or later.  ``PROTOCOL_TLS_CLIENT``,
    unlike ``ssl.create_default_context``, ignores ``SSLKEYLOGFILE``.  Without *ca_file* the
    system's authorities are trusted.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(
            f"{ca_file}: unusable certificates: {error.strerror or 'malformed'}",
            advice="Use a readable PEM file with the authority's certificate.",
        ) from error
    return context


def open_transport(config: ServiceConfig) -> AiohttpTransport:
    """Open the transport of a service; call it in the event loop that will use it.

    Raises ConfigurationError for unusable certificates.
    """
    context = tls_context(config)

    def session() -> aiohttp.ClientSession:
        """Open a session without cookies, environment and automatic headers."""
        return aiohttp.ClientSession(
            connector=bounded_connector(context, config.max_response_bytes, config.concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        )

    return AiohttpTransport(verify=context, proxy=_proxy(config), client=session)


_MAX_OVERHEAD = 64 * 1024
"""Bytes of an exchange besides the body: status lines, header fields, chunk sizes, TLS."""

_KEEPALIVE = 30.0
"""Seconds; shorter than most servers allow."""


class AnswerTooLong(ConnectionAbortedError):
    """The peer sent more than the answer to one request may have."""


class _BoundedSocket(socket.socket):
    """Ends the connection when more than *max_received* bytes follow what was sent last.

    The HTTP parser of aiohttp accepts interim responses and chunk extensions without end; small
    pieces keep an event loop from parsing for long between two looks at the clock.
    """

    max_received = 0
    _received = 0
    _PIECE = 8 * 1024

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Begin to count again."""
        self._received = 0
        return super().send(data, flags)

    def sendmsg(self, *arguments: Any) -> int:
        """Begin to count again."""
        self._received = 0
        return super().sendmsg(*arguments)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return some bytes.  Raises AnswerTooLong."""
        content = super().recv(min(size, self._PIECE), flags)
        self._count(len(content))
        return content

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Receive some bytes into *buffer*.  Raises AnswerTooLong."""
        room = min(size or len(buffer), self._PIECE)
        length = super().recv_into(buffer, room, flags)
        self._count(length)
        return length

    def _count(self, length: int) -> None:
        self._received += length
        if self._received > self.max_received:
            raise AnswerTooLong


def bounded_connector(
    context: ssl.SSLContext, max_response_bytes: int = 0, concurrency: int = 1
) -> aiohttp.TCPConnector:
    """Return a connector whose connections end if an answer is much longer than its body may be."""

    def open_socket(address: AddrInfoType) -> socket.socket:
        family, kind, protocol, *_ = address
        opened = _BoundedSocket(family, kind, protocol)
        opened.max_received = max_response_bytes + _MAX_OVERHEAD
        return opened

    return aiohttp.TCPConnector(
        ssl=context, limit=concurrency, keepalive_timeout=_KEEPALIVE, socket_factory=open_socket
    )


def _proxy(config: ServiceConfig) -> httpx.Proxy | None:
    """Return the proxy; its credential is a header that only the proxy receives."""
    if not config.proxy:
        return None
    headers = {"User-Agent": USER_AGENT}
    if config.proxy_credential is not None:
        headers["Proxy-Authorization"] = basic_auth(config.proxy_credential)
    return httpx.Proxy(config.proxy, headers=headers)


def basic_auth(credential: Credential) -> str:
    """Return a credential as the value of an HTTP Basic header (RFC 7617, UTF-8)."""
    return "Basic " + base64.b64encode(credential.to_line().encode()).decode("ascii")


TRANSPORT_ERRORS: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    aiohttp.ClientError,
    asyncio.IncompleteReadError,
    OSError,
)
"""What a transport raises for a fault of the service or of the network."""

_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


def fault_from_status(status: int, wait: float | None = None) -> ServiceFault:
    """Return the fault for an HTTP status other than 200: 429 and 5xx are temporary."""
    if status in _REFUSED:
        return ServiceFault(f"refused with HTTP status {status}", Reason.REFUSED)
    if 300 <= status < 400:  # noqa: PLR2004  # the class of redirections, as in RFC 9110
        return ServiceFault(f"redirected with HTTP status {status}, not followed")
    temporary = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    wait = wait if temporary else None
    return ServiceFault(f"HTTP status {status}", retryable=temporary, wait=wait)


_TEMPORARY_FAULTS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ssl.SSLError,), "the TLS handshake failed or the TLS connection was closed"),
    (
        (httpx.ProxyError, aiohttp.ClientHttpProxyError),
        "the proxy failed or refused the connection",
    ),
    ((ConnectionRefusedError,), "connection refused"),
    ((aiohttp.ClientConnectorDNSError,), "the host name cannot be resolved"),
    ((TimeoutError, httpx.ReadTimeout), "timed out"),
)
"""The first entry with a class from the chain of errors applies."""


def fault_from_error(error: BaseException) -> ServiceFault:
    """Return the fault for an error of a transport, by its class and those of its causes."""
    chain = _causes(error)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain):
        reasons = (getattr(cause, "verify_message", "") for cause in chain)
        return ServiceFault(f"the certificate is not accepted: {next(filter(None, reasons), '')}")
    if any(isinstance(cause, AnswerTooLong) for cause in chain):
        return ServiceFault("the answer does not end")
    for classes, detail in _TEMPORARY_FAULTS:
        if any(isinstance(cause, classes) for cause in chain):
            return ServiceFault(detail, retryable=True)
    if any(isinstance(cause, aiohttp.ClientResponseError) for cause in chain):
        return ServiceFault("the response is not HTTP")
    return ServiceFault("the connection was lost", retryable=True)


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and len(causes) < 10:  # noqa: PLR2004  # against a cycle
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes


class HttpExchange:
    """Makes requests over one transport: a fixed set of headers, no redirect followed."""

    def __init__(self, config: ServiceConfig, transport: httpx.AsyncBaseTransport) -> None:
        self._limit = config.max_response_bytes
        self._transport = transport
        base = config.base_url.rstrip("/")
        try:
            httpx.URL(base)
        except httpx.InvalidURL as error:
            raise ConfigurationError(
                f"the base URL {base} is not valid", advice="Write it as https://host[:port]."
            ) from error
        self._url = lru_cache(64)(lambda path: httpx.URL(base + path))  # parsing takes 15 µs
        fixed = [("User-Agent", USER_AGENT)]
        if config.credential is not None:
            fixed.append(("Authorization", basic_auth(config.credential)))
        self._headers = lru_cache(8)(
            lambda *chosen: httpx.Headers(
                [*fixed, *((name, value) for name, value in chosen if value)]
            )
        )
        self._extensions = {"timeout": {"connect": config.timeouts.connect}}

    async def __call__(self, request: HttpRequest) -> bytes | ServiceFault:
        """Return the body of an answer with status 200, of limited length, or a fault."""
        try:
            response = await self._transport.handle_async_request(self._request(request))
            try:
                if response.status_code != HTTPStatus.OK:
                    wait = retry_after(response.headers.get("retry-after"), time.time())
                    return fault_from_status(response.status_code, wait)
                return await self._body(response)
            finally:
                await response.aclose()
        except TRANSPORT_ERRORS as error:
            return fault_from_error(error)

    def _request(self, request: HttpRequest) -> httpx.Request:
        return httpx.Request(
            request.method,
            self._url(request.path),
            headers=self._headers(
                ("Accept", request.accept), ("Content-Type", request.content_type)
            ),
            content=request.body,
            extensions=self._extensions,
        )

    async def _body(self, response: httpx.Response) -> bytes | ServiceFault:
        """Read the body in chunks, undecoded: an endless answer must not fill the memory."""
        body = b""
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for chunk in response.stream:
            body += chunk
            if len(body) > self._limit:
                return ServiceFault(f"the answer has more than {self._limit} bytes")
        return body

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

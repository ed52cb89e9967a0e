"""One request to a service and its answer: bytes, or why there are none.

The one TLS context: verified, 1.2 at least, independent of the environment's key logging.

The way to the network: httpx's requests over aiohttp's connections.

Chosen by measurement: one client core, another for a bare asyncio server on loopback, one MD5
a request, requests per second and core of the client (Python 3.11, httpx 0.28.1, aiohttp
3.14, httpx-aiohttp 0.2; two runs, the lower figure):

======================================================  =====  =====  =====
requests on their way at once                               8     16     32
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
address at INFO: all unwanted here, so the transport is asked directly.

Faults of HTTP and of the way to a service, judged by status and by the class of an error.

Apart from ``questions``, because whoever asks through the courier needs no HTTP.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.types import Reason
from hashwacht.matching.questions import ServiceFault
from hashwacht.matching.services.retry import retry_after
from hashwacht.matching.services.service_config import USER_AGENT, ServiceConfig, basic_auth


def tls_context(service: ServiceConfig) -> ssl.SSLContext:
    """Make the context for a service.  Raises ConfigurationError for unusable PEM files."""
    context = context_trusting(service.ca_file)
    if service.client_cert is not None:
        _present(context, service)
    return context


def context_trusting(ca_file: Path | None) -> ssl.SSLContext:
    """Make a context that trusts the authorities in *ca_file*.  Raises ConfigurationError.

    Built from ``PROTOCOL_TLS_CLIENT``, which verifies certificate and host name; unlike
    ``ssl.create_default_context`` it ignores ``SSLKEYLOGFILE``.  Without *ca_file* the
    system's authorities are trusted, as its administrator has set them up.
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
            f"{ca_file}: no usable certificates: {error.strerror or 'malformed'}",
            advice="Give a readable PEM file with the authority's certificate.",
        ) from error
    return context


def _present(context: ssl.SSLContext, service: ServiceConfig) -> None:
    """Load the client certificate; an encrypted key is refused instead of asked for."""
    assert service.client_cert is not None
    try:
        context.load_cert_chain(service.client_cert, service.client_key, password=lambda: "")
    except OSError as error:
        raise ConfigurationError(
            f"{service.client_cert}: no usable client certificate: {error.strerror or 'malformed'}",
            advice="Give PEM files of certificate and unencrypted key, readable for this user.",
        ) from error


KEEP_ALIVE = 30.0
"""Seconds an unused connection is kept; shorter than what servers usually allow."""


def open_transport(service: ServiceConfig) -> AiohttpTransport:
    """Make the transport of a service; call it in the event loop that will use it.

    Raises ConfigurationError for unusable certificates.
    """
    context = tls_context(service)

    def session() -> aiohttp.ClientSession:
        """No cookies, nothing from the environment, nothing added to our headers."""
        connector = aiohttp.TCPConnector(
            ssl=context, limit=service.concurrency, keepalive_timeout=KEEP_ALIVE
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        )

    return AiohttpTransport(verify=context, proxy=_proxy(service), client=session)


def _proxy(service: ServiceConfig) -> httpx.Proxy | None:
    """Name the proxy; its credential goes as a header, to the proxy only."""
    if not service.proxy:
        return None
    known = service.proxy_credential
    headers = {"Proxy-Authorization": basic_auth(known)} if known is not None else {}
    return httpx.Proxy(service.proxy, headers={"User-Agent": USER_AGENT, **headers})


TRANSPORT_ERRORS: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    aiohttp.ClientError,
    asyncio.IncompleteReadError,
    OSError,
)
"""What a transport raises for a fault of the far side or the way to it."""

_REFUSING = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


def fault_from_status(status: int, wait: float | None = None) -> ServiceFault:
    """Judge an HTTP status other than 200 (RFC 9110): 429 and 5xx pass, the others stay."""
    if status in _REFUSING:
        return ServiceFault(f"refused with HTTP status {status}", Reason.REFUSED)
    if 300 <= status < 400:  # noqa: PLR2004  # the class of redirections, as in RFC 9110
        return ServiceFault(f"redirected with HTTP status {status}, not followed")
    passing = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return ServiceFault(f"HTTP status {status}", retryable=passing, wait=wait if passing else None)


_FAULTS: tuple[tuple[tuple[type[BaseException], ...], ServiceFault], ...] = (
    (
        (ssl.SSLError,),
        ServiceFault("the TLS handshake failed or the connection broke inside TLS", retryable=True),
    ),
    (
        (httpx.ProxyError, aiohttp.ClientHttpProxyError),
        ServiceFault("the proxy failed or refused", retryable=True),
    ),
    ((ConnectionRefusedError,), ServiceFault("connection refused", retryable=True)),
    (
        (aiohttp.ClientConnectorDNSError,),
        ServiceFault("its name cannot be resolved", retryable=True),
    ),
    ((TimeoutError, httpx.ReadTimeout), ServiceFault("timed out", retryable=True)),
    ((aiohttp.ClientResponseError,), ServiceFault("what came back is no HTTP")),
)
"""The first line one of whose kinds is in the chain of errors applies."""


def fault_from_error(error: BaseException) -> ServiceFault:
    """Judge what a transport raised, by the class of the error and of those behind it."""
    chain = tuple(_chain(error))
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        why = next((words for each in chain if (words := getattr(each, "verify_message", ""))), "")
        return ServiceFault(f"its certificate is not accepted: {why}")
    for kinds, fault in _FAULTS:
        if any(isinstance(each, kinds) for each in chain):
            return fault
    return ServiceFault("the connection broke", retryable=True)


def _chain(error: BaseException | None) -> list[BaseException]:
    """Give the error and what caused it, at most ten deep."""
    found: list[BaseException] = []
    while error is not None and len(found) < 10:  # noqa: PLR2004  # against a cycle
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What to send: method, path with query (ready for the wire), content type and body."""

    method: str
    path: str
    content_type: str = ""
    body: bytes = b""


class HttpExchange:
    """Makes requests over one transport: the same few headers always, no redirect followed."""

    def __init__(self, service: ServiceConfig, transport: httpx.AsyncBaseTransport) -> None:
        self._limit = service.max_response_bytes
        self._transport = transport
        base = service.base_url.rstrip("/")
        self._url = lru_cache(64)(lambda path: httpx.URL(base + path))  # parsing takes 15 µs
        always = [("User-Agent", USER_AGENT)]
        if service.credential is not None:
            always.append(("Authorization", basic_auth(service.credential)))
        self._headers = lru_cache(8)(
            lambda kind: httpx.Headers(always + ([("Content-Type", kind)] if kind else []))
        )
        timeouts = service.timeouts
        timeout = {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.read}
        self._extensions = {"timeout": timeout}

    async def __call__(self, request: HttpRequest) -> bytes | ServiceFault:
        """Give the body of an answer with status 200, at most so long as allowed, or a Fault."""
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
            headers=self._headers(request.content_type),
            content=request.body,
            extensions=self._extensions,
        )

    async def _body(self, response: httpx.Response) -> bytes | ServiceFault:
        """Read as it comes, undecoded: whoever answers without end must not fill the memory."""
        body = b""
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for chunk in response.stream:
            body += chunk
            if len(body) > self._limit:
                return ServiceFault(f"an answer of more than {self._limit} bytes")
        return body

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

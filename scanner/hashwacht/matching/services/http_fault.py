"""Faults of HTTP and of the way to a service, judged by status and by the class of an error.

Apart from :mod:`hashwacht.matching.fault`, because whoever asks through the courier needs no HTTP.
"""

from __future__ import annotations

import asyncio
import ssl
from http import HTTPStatus

import aiohttp
import httpx

from hashwacht.matching.fault import Fault
from hashwacht.core.types import Reason

TRANSPORT_ERRORS: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    aiohttp.ClientError,
    asyncio.IncompleteReadError,
    OSError,
)
"""What a transport raises for a fault of the far side or the way to it."""

_REFUSING = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


def of_status(status: int, wait: float | None = None) -> Fault:
    """Judge an HTTP status other than 200 (RFC 9110): 429 and 5xx pass, the others stay."""
    if status in _REFUSING:
        return Fault(f"refused with HTTP status {status}", Reason.REFUSED)
    if 300 <= status < 400:  # noqa: PLR2004  # the class of redirections, as in RFC 9110
        return Fault(f"redirected with HTTP status {status}, not followed")
    passing = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Fault(f"HTTP status {status}", retryable=passing, wait=wait if passing else None)


_FAULTS: tuple[tuple[tuple[type[BaseException], ...], Fault], ...] = (
    (
        (ssl.SSLError,),
        Fault("the TLS handshake failed or the connection broke inside TLS", retryable=True),
    ),
    (
        (httpx.ProxyError, aiohttp.ClientHttpProxyError),
        Fault("the proxy failed or refused", retryable=True),
    ),
    ((ConnectionRefusedError,), Fault("connection refused", retryable=True)),
    ((aiohttp.ClientConnectorDNSError,), Fault("its name cannot be resolved", retryable=True)),
    ((TimeoutError, httpx.ReadTimeout), Fault("timed out", retryable=True)),
    ((aiohttp.ClientResponseError,), Fault("what came back is no HTTP")),
)
"""The first line one of whose kinds is in the chain of errors applies."""


def of_error(error: BaseException) -> Fault:
    """Judge what a transport raised, by the class of the error and of those behind it."""
    chain = tuple(_chain(error))
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        why = next((words for each in chain if (words := getattr(each, "verify_message", ""))), "")
        return Fault(f"its certificate is not accepted: {why}")
    for kinds, fault in _FAULTS:
        if any(isinstance(each, kinds) for each in chain):
            return fault
    return Fault("the connection broke", retryable=True)


def _chain(error: BaseException | None) -> list[BaseException]:
    """Give the error and what caused it, at most ten deep."""
    found: list[BaseException] = []
    while error is not None and len(found) < 10:  # noqa: PLR2004  # against a cycle
        found.append(error)
        error = error.__cause__ or error.__context__
    return found

"""The way to the network: httpx's requests over aiohttp's connections.

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
"""

from __future__ import annotations

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from hashwacht.matching.services.service import USER_AGENT, Service, basic
from hashwacht.matching.services.tls import tls_context

KEEP_ALIVE = 30.0
"""Seconds an unused connection is kept; shorter than what servers usually allow."""


def open_transport(service: Service) -> AiohttpTransport:
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


def _proxy(service: Service) -> httpx.Proxy | None:
    """Name the proxy; its credential goes as a header, to the proxy only."""
    if not service.proxy:
        return None
    known = service.proxy_credential
    headers = {"Proxy-Authorization": basic(known)} if known is not None else {}
    return httpx.Proxy(service.proxy, headers={"User-Agent": USER_AGENT, **headers})

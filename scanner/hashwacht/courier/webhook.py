"""Notices by HTTP POST: one JSON object for each batch, signed if there is a secret.

::

    POST /hook
    Content-Type: application/json
    Hashwacht-Id: <name of the batch, the same in every attempt>
    Hashwacht-Signature: t=<Unix time in seconds>,v1=<HMAC-SHA-256, hexadecimal>

The signature covers the time, a dot, and the body, as Stripe does it.  A receiver compares it in
constant time and refuses a time that is more than five minutes off, so that old messages cannot be
replayed.  Any status 2xx means delivered; redirects are not followed, as they could send the alert
to another host.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
import time
from collections.abc import Callable, Mapping

import aiohttp

from hashwacht import __version__
from hashwacht.core.text import json_line
from hashwacht.courier import rendering
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply
from hashwacht.matching.services.http import bounded_connector

CONNECT_TIMEOUT, READ_TIMEOUT, TOTAL_TIMEOUT = 10.0, 30.0, 120.0
"""Seconds for a connection, for the next bytes, and in total."""


class WebhookChannel:
    """Posts notices.  Thread-safe."""

    def __init__(
        self,
        url: str,
        host: str,
        tls: ssl.SSLContext,
        secret: str = "",
        clock: Callable[[], float] = time.time,
        *,
        total_timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        """*host* is this machine's name, *secret* is the signing key, empty for none."""
        self._url, self._host, self._tls = url, host, tls
        self._secret, self._clock, self._total_timeout = secret.encode(), clock, total_timeout

    def deliver(self, deliver: DeliverRequest) -> DeliverReply | FailureReply:
        """Post it; only the status of the response is read."""
        body = json_line(rendering.document(deliver, self._host)).encode()
        try:
            status = asyncio.run(self._post(self._headers(deliver.batch, body), body))
        except (aiohttp.ClientError, OSError) as error:
            return FailureReply(*_describe(error))
        match status // 100:
            case 2:
                return DeliverReply()
            case 3:
                advice = "Redirects are not followed: configure the final address."
            case _:
                advice = "See the log of the receiver."
        return FailureReply(f"the webhook returned HTTP status {status}", advice)

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    async def _post(self, headers: Mapping[str, str], body: bytes) -> int:
        """Return the status.  Raises aiohttp.ClientError, OSError (TimeoutError among them)."""
        timeout = aiohttp.ClientTimeout(
            self._total_timeout, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT
        )
        async with (
            aiohttp.ClientSession(
                timeout=timeout,
                connector=bounded_connector(self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            ) as session,
            session.post(self._url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            return response.status

    def _headers(self, batch: str, body: bytes) -> Mapping[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"hashwacht/{__version__}",
            "Hashwacht-Id": batch,
        }
        if self._secret:
            headers["Hashwacht-Signature"] = signature(self._secret, int(self._clock()), body)
        return headers


def signature(secret: bytes, now: int, body: bytes) -> str:
    """Return the signature header for *body* at the Unix time *now*."""
    digest = hmac.new(secret, b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"


def _describe(error: Exception) -> tuple[str, str]:
    """Return problem and advice; the library's messages may quote a URL with a secret."""
    match error:
        case aiohttp.ClientConnectorCertificateError(
            certificate_error=ssl.SSLCertVerificationError(verify_message=why)
        ):
            return (
                f"the webhook's certificate is not accepted: {why}",
                "Use the name in its certificate, or name its authority in alerts.webhook.ca_file.",
            )
        case TimeoutError():
            return "the webhook does not answer in time", "Check that the receiver is running."
    return "the webhook is out of reach", "Check alerts.webhook.url, name resolution, firewall."

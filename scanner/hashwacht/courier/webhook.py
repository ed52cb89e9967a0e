"""Notices by HTTP POST: one JSON object for each batch, signed if there is a secret.

::

    POST /hook
    Content-Type: application/json
    Hashwacht-Id: <name of the batch, the same in every attempt>
    Hashwacht-Signature: t=<Unix time in seconds>,v1=<HMAC-SHA-256, hexadecimal>

What is signed is the time as it stands there, a dot, and the body (as Stripe does it, and Svix
and GitHub nearly): whoever checks it compares in constant time and refuses a time that is more
than five minutes off, so that nobody can send an old message again.  Any status 2xx means that
it arrived; a redirect is not followed, for it would lead the alert to somebody else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable

import httpx

from hashwacht import __version__
from hashwacht.courier import words
from hashwacht.wire.messages import Deliver, Delivered, Failed

CONNECT, READ = 10.0, 30.0
"""Seconds for a connection, and for the next bytes."""


class Webhook:
    """Posts notices.  Thread-safe."""

    def __init__(
        self,
        url: str,
        host: str,
        tls: ssl.SSLContext,
        secret: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*host* is this machine's name, *secret* signs (empty: unsigned)."""
        self._url = httpx.URL(url)
        self._host = host
        self._secret = secret.encode()
        self._clock = clock
        # The transport itself: no redirects, cookies, proxies of the environment, log lines.
        self._transport = httpx.HTTPTransport(verify=tls, trust_env=False)

    def deliver(self, deliver: Deliver) -> Delivered | Failed:
        """Post it; what the receiver says beyond the status is not read."""
        body = json.dumps(words.document(deliver, self._host), ensure_ascii=False).encode()
        try:
            response = self._transport.handle_request(self._request(deliver.batch, body))
            response.close()
        except (httpx.HTTPError, OSError) as error:
            return Failed(*_judged(error))
        if response.is_success:
            return Delivered()
        advice = "It is not followed: give the final address." if response.is_redirect else ""
        return Failed(
            f"the webhook said HTTP status {response.status_code}", advice or "See its log."
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _request(self, batch: str, body: bytes) -> httpx.Request:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"hashwacht/{__version__}",
            "Hashwacht-Id": batch,
        }
        if self._secret:
            headers["Hashwacht-Signature"] = signature(self._secret, int(self._clock()), body)
        timeout = {"connect": CONNECT, "read": READ, "write": READ, "pool": CONNECT}
        return httpx.Request(
            "POST", self._url, headers=headers, content=body, extensions={"timeout": timeout}
        )


def signature(secret: bytes, now: int, body: bytes) -> str:
    """Sign *body* at the Unix time *now*; gives the value of the header."""
    made = hmac.new(secret, b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
    return f"t={now},v1={made}"


def _judged(error: Exception) -> tuple[str, str]:
    """Say in our words what went wrong: the library's own may quote an address with a secret."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, ssl.SSLCertVerificationError):
            return (
                f"the webhook's certificate is not accepted: {chain.verify_message}",
                "Use the name in its certificate, or name its authority in alerts.webhook.ca_file.",
            )
        chain = chain.__cause__ or chain.__context__
    if isinstance(error, httpx.TimeoutException):
        return "the webhook does not answer in time", "See if it runs."
    return "the webhook is out of reach", "Check alerts.webhook.url, name resolution, firewall."

"""A matching service: how it is reached, the interface of its protocol, and how it is checked.

This module and the protocols import no HTTP library: a process that asks through the courier uses
them to know which signals a service accepts and what identifies its knowledge.

TLS certificates are always verified.  ``http://`` is accepted for loopback addresses only (a
service or a TLS-terminating proxy on this machine), because neither hashes nor passwords may cross
a network unencrypted.  Proxies are used only if configured; ``HTTPS_PROXY`` and similar variables
are ignored.
"""

from __future__ import annotations

import hashlib
import ipaddress
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.text import is_printable_line
from hashwacht.core.types import Diagnostic, Reason
from hashwacht.ipc.messages import SignalKey
from hashwacht.matching.lookup import ServiceAnswer, ServiceFault
from hashwacht.matching.services.retry import BreakerPolicy, RetryPolicy
from hashwacht.secrets import Credential


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Method, path with query (percent-encoded), content type and body.

    *accept* is the value of the Accept header, empty for none.
    """

    method: str
    path: str
    content_type: str = ""
    body: bytes = b""
    accept: str = ""


class ServiceProtocol(ABC):
    """How one kind of service is asked and how its HTTP answers are parsed.  Immutable.

    *batch_size* is the largest number of signals in a request.  *known_signal* is a signal that
    the service is known to match, for checks.
    """

    batch_size: int = 1
    known_signal: SignalKey | None = None

    @property
    @abstractmethod
    def accepts(self) -> frozenset[str]:
        """The signal types that the service is asked for."""

    @abstractmethod
    def revision(self, base_url: str) -> str:
        """Return the text that identifies everything that gives an answer its meaning."""

    @abstractmethod
    def request(self, signals: Sequence[SignalKey]) -> HttpRequest:
        """Return the request that looks up one batch of signals."""

    @abstractmethod
    def parse(
        self, body: bytes, signals: Sequence[SignalKey]
    ) -> Sequence[ServiceAnswer] | ServiceFault:
        """Parse the body of an answer with status 200: one answer for each signal, in order."""


def word_pairs(words: Mapping[str, str]) -> str:
    """Return a mapping as text for a revision."""
    return ",".join(f"{ours}={theirs}" for ours, theirs in sorted(words.items()))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    *exchange* bounds all exchanges for one request together, from connecting to the last byte;
    *request* includes the pauses between them, *lookup* all requests.
    """

    connect: float = 5.0
    exchange: float = 10.0
    request: float = 90.0
    lookup: float = 900.0


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """How one service is reached.  Raises ConfigurationError for an address that it refuses.

    *concurrency* bounds the connections and the requests in flight.  *ca_file* (PEM) replaces the
    system's certificate authorities; *client_cert* and *client_key* are PEM files, and the key
    may be in the first.
    """

    base_url: str
    credential: Credential | None = field(default=None, repr=False)
    concurrency: int = 16
    max_response_bytes: int = 256 * 1024
    proxy: str = ""
    proxy_credential: Credential | None = field(default=None, repr=False)
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    breaker_policy: BreakerPolicy = field(default_factory=BreakerPolicy)

    def __post_init__(self) -> None:
        url = _parse_url(self.base_url, "base URL")
        if url.query or url.fragment:
            raise ConfigurationError(
                f"the base URL {self.base_url} has a query or fragment",
                advice="Use scheme, host, port and path only.",
            )
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise ConfigurationError(
                f"the base URL {self.base_url} is not encrypted",
                advice="Use https://. Plain http:// is allowed for loopback addresses only.",
            )
        if self.proxy and url.scheme == "http":
            raise ConfigurationError(
                f"a proxy is configured for {self.base_url}, which is on this machine",
                advice="Remove the proxy, or use https://.",
            )
        if self.proxy:
            _parse_url(self.proxy, "proxy URL")
        if self.concurrency < 1:
            advice = "8 to 32 suits most services."
            raise ConfigurationError("the concurrency must be at least 1", advice=advice)


def _parse_url(text: str, name: str) -> SplitResult:
    """Parse an http(s) URL.  One with a password is refused without quoting it."""
    url, valid = urlsplit(""), False
    try:
        url = urlsplit(text)
        valid = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        pass
    if "@" in url.netloc:
        raise ConfigurationError(
            f"the {name} contains a user name or password",
            advice="Remove it, and store it with `hashwacht credentials set NAME` instead.",
        )
    if not valid or not is_printable_line(text) or " " in text:
        raise ConfigurationError(
            f"the {name} is not an http or https URL", advice="Write it as https://host[:port]."
        )
    return url


def is_loopback(host: str) -> bool:
    """Return whether *host* names this machine without asking a name server."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


PROBE_TEXT = b"hashwacht asks a harmless question"
"""Its digests are looked up by checks: always the same, so that a service can recognize them."""

_DIGEST_OF_SAME_LENGTH = {"pdq": "sha256"}
"""For PDQ a digest serves as random bits, far from the hash of any picture."""

_ADVICE = {
    Reason.REFUSED: "Check the credentials with `hashwacht credentials check`, and the account.",
    Reason.UNANSWERED: "Check base_url, proxy, firewall and certificates, and the service itself.",
}
_UNEXPECTED_MATCH_ADVICE = "Do not act on its matches until its operator has explained this."
_MISSING_MATCH_ADVICE = (
    "Check the index status of the service; after a change of a bank wait 90 s, and keep at least"
    " two hashes in the bank."
)


def probe_signals(signal_types: Collection[str]) -> list[SignalKey]:
    """Return a signal that no content has for every type for which one can be made up."""
    digests = {name: _DIGEST_OF_SAME_LENGTH.get(name, name) for name in sorted(signal_types)}
    return [
        (name, hashlib.new(digest, PROBE_TEXT).hexdigest())
        for name, digest in digests.items()
        if digest in {"md5", "sha1", "sha256", "sha512"}
    ]


def evaluate_check(
    name: str, answers: Mapping[SignalKey, ServiceAnswer], *, expect_match: bool
) -> Diagnostic:
    """Return what the answers to known or to made-up signals show about a service."""
    if not answers:
        return Diagnostic(name, True, "not checked: no test signal exists for its signal types")
    for (signal_type, _), answer in answers.items():
        if isinstance(answer, ServiceFault):
            return Diagnostic(name, False, answer.detail, _ADVICE[answer.reason])
        if answer and not expect_match:
            detail = f"reports a match for a made-up {signal_type}"
            return Diagnostic(name, False, detail, _UNEXPECTED_MATCH_ADVICE)
        if expect_match and not answer:
            detail = "does not match the known_signal, so its negative answers mean nothing"
            return Diagnostic(name, False, detail, _MISSING_MATCH_ADVICE)
    if expect_match:
        return Diagnostic(name, True, "matches the known_signal")
    types = ", ".join(signal_type for signal_type, _ in answers)
    return Diagnostic(name, True, f"answers for {types}")

"""What one has to know of a service to talk to it: address, trust, patience.  A value.

TLS is always verified.  ``http://`` is accepted for this very machine only (a service or a
TLS-terminating proxy beside us), since neither hashes nor passwords may cross a network bare.
Proxies are used only if named here: ``HTTPS_PROXY`` and its kin in the environment are not.

What names the knowledge of a service: everything that gives an answer of it its meaning.

Here and not in the matchers, because whoever asks through the courier has to know it as well, and
knows no HTTP: answers are shared only if both say the same.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from hashwacht import __version__
from hashwacht.core.errors import ConfigurationError
from hashwacht.matching.services.retry import BreakerPolicy, RetryPolicy
from hashwacht.secrets.credential import Credential


def eokm_revision(base_url: str, path: str, formats: Mapping[str, str]) -> str:
    """Name an Instant Image Identifier; *path* is the template that is asked."""
    return f"eokm/1 {base_url} {path} {_pairs(formats)}"


def hma_revision(
    base_url: str,
    signal_types: Mapping[str, str],
    banks: Collection[str],
    category: str,
    categories: Mapping[str, str],
) -> str:
    """Name a Hasher-Matcher-Actioner with the banks that are asked and what they mean."""
    asked = ",".join(sorted(banks)) or "*"
    return f"hma/2 {base_url} {_pairs(signal_types)} {asked} {category} {_pairs(categories)}"


def arachnid_revision(base_url: str) -> str:
    """Name an Arachnid Shield."""
    return f"arachnid/1 {base_url}"


def _pairs(words: Mapping[str, str]) -> str:
    return ",".join(f"{ours}={theirs}" for ours, theirs in sorted(words.items()))


USER_AGENT = f"hashwacht/{__version__}"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds.

    For a connection, for the next bytes, for one request with all its repetitions, and for a
    whole lookup with all its requests.
    """

    connect: float = 5.0
    read: float = 30.0
    request: float = 90.0
    lookup: float = 900.0


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """One service and how we talk to it.  Raises ConfigurationError for an address it refuses.

    *concurrency* is the greatest number of connections and of requests on their way.
    *max_answer* bounds an answer in bytes.  *ca_file* (PEM), if given, replaces the system's
    certificate authorities; *client_cert* and *client_key* are PEM files, the key may be in
    the first.
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
        """Refuse what would send hashes or passwords where they do not belong."""
        base = _address(self.base_url, "base URL")
        if base.query or base.fragment:
            raise ConfigurationError(
                f"the base URL {self.base_url} has a query or fragment",
                advice="Give scheme, host, port and path only.",
            )
        if base.scheme == "http" and not _is_this_machine(base.host):
            raise ConfigurationError(
                f"the base URL {self.base_url} is not encrypted",
                advice="Use https://; http:// is only for services on this machine.",
            )
        if self.proxy and base.scheme == "http":
            raise ConfigurationError(
                f"a proxy is named on the way to {self.base_url}, which is on this machine",
                advice="Remove the proxy, or use https://.",
            )
        if self.proxy:
            _address(self.proxy, "proxy URL")
        if self.concurrency < 1:
            raise ConfigurationError(
                "the concurrency must be at least 1", advice="8 to 32 suits most services."
            )


def basic_auth(credential: Credential) -> str:
    """Write a credential as the value of an HTTP Basic header (RFC 7617, UTF-8)."""
    return "Basic " + base64.b64encode(credential.to_line().encode()).decode("ascii")


def _address(text: str, what: str) -> httpx.URL:
    """Read an http(s) URL.  One with a password is refused, and not repeated in the message."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.userinfo:
        raise ConfigurationError(
            f"the {what} contains a user name or password",
            advice="Take it out and give a credential by name instead.",
        )
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigurationError(
            f"the {what} is no http or https address", advice="Write it as https://host[:port]."
        )
    return url


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

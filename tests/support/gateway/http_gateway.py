"""The HTTP server of the gateway before a scanner in memory, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx

from hashwacht.gateway.http.http_server import HttpFront
from hashwacht.settings import HttpSettings
from support.gateway.fake_checks import FakeChecks
from support.gateway.running_front import FrontLoop, running_front, tcp_listener, unix_listener

TOKEN, LOOKUP_TOKEN, TUSD_TOKEN = "token of the shop", "token of the import", "token of tusd"
TOKENS = tuple(
    (name, f"sha256:{sha256(token.encode()).hexdigest()}")
    for name, token in (("shop", TOKEN), ("import", LOOKUP_TOKEN), ("tusd", TUSD_TOKEN))
)


@dataclass(frozen=True)
class HttpGateway:
    """A running server: *url* by TCP, *socket* as a path."""

    checks: FakeChecks
    url: str
    socket: Path
    loop: FrontLoop

    def unix(self) -> httpx.Client:
        """Return a client of the Unix socket."""
        transport = httpx.HTTPTransport(uds=str(self.socket), verify=False)
        return httpx.Client(transport=transport, base_url="http://hashwacht", timeout=20)

    def tcp(self, token: str | None = TOKEN) -> httpx.Client:
        """Return a client by TCP, with a token."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, verify=False)

    def hold(self) -> None:
        """Let no check end."""
        self.loop.call(self.checks.released.clear)

    def release(self) -> None:
        """Let all checks end."""
        self.loop.call(self.checks.released.set)


@contextmanager
def http_gateway(
    directory: Path,
    settings: HttpSettings | None = None,
    checks: FakeChecks | None = None,
    **limits: int,
) -> Iterator[HttpGateway]:
    """Run the server, with *limits*, on a Unix socket in *directory* and a TCP port."""
    checks = checks or FakeChecks()
    settings = settings or HttpSettings(tokens=TOKENS, lookup=("import",))
    tcp, url = tcp_listener()
    path = directory / "http.sock"
    front = HttpFront(checks, settings, **limits)
    with running_front(front, tcp, unix_listener(path)) as loop:
        yield HttpGateway(checks, url, path, loop)


def form(*files: tuple[str, bytes]) -> Sequence[tuple[str, tuple[str, bytes]]]:
    """Return the files of a form for httpx."""
    return [("file", file) for file in files]

"""The installed scanner and gateway, with the HTTP API on a TCP port as well."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import httpx

from support.gateway.gateway_daemon import GatewayDaemon

SHOP_TOKEN = "token of the shop"


class HttpDaemon(GatewayDaemon):
    """A GatewayDaemon whose HTTP API is reached at *address* with SHOP_TOKEN."""

    def __init__(self, home: Path) -> None:
        """Set up everything below *home*; the token may look up hashes."""
        digest = sha256(SHOP_TOKEN.encode()).hexdigest()
        super().__init__(home, "[gateway.http.tokens]", f'shop = "sha256:{digest}"')
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        http = f'[gateway.http]\ntcp = "{self.address}"\nlookup = ["shop"]'
        text = self.configuration.read_text()
        self.configuration.write_text(text.replace("[gateway.http]", http))

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run the scanner and the gateway; files can be checked when the context begins."""
        with self.scanner(), self.gateway():
            self.wait_for(self.is_ready, "ready")
            yield

    def is_ready(self) -> bool:
        """Return whether the gateway can check files."""
        with suppress(httpx.HTTPError), self.client() as client:
            return client.get("/v1/ready").is_success
        return False

    def client(self) -> httpx.Client:
        """Return a client of the TCP port, with the token."""
        headers = {"Authorization": f"Bearer {SHOP_TOKEN}"}
        url = f"http://{self.address}"
        return httpx.Client(base_url=url, headers=headers, timeout=30, verify=False)

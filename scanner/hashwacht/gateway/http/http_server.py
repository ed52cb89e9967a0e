"""The HTTP server: listeners, routes, and what every request passes before it is answered."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from aiohttp import web

from hashwacht.gateway.checks import ContentChecks
from hashwacht.gateway.http.admission import MAX_REQUESTS, ApiClient, ClientHandler, ClientRegistry
from hashwacht.gateway.http.api import CheckApi
from hashwacht.gateway.http.dialects import add_dialects
from hashwacht.gateway.http.problems import (
    RETRY_AFTER,
    ApiProblem,
    problem_middleware,
    unavailable,
)
from hashwacht.settings import HttpSettings

_protocol_log = logging.getLogger(f"{__name__}.protocol")
_protocol_log.setLevel(logging.CRITICAL)  # aiohttp writes a traceback for each invalid request

MAX_CONNECTIONS = 1024
"""Connections at a time, unless the settings have another number."""

CLOSE_TIMEOUT = 5.0
"""Seconds for requests under way when the gateway stops."""

_IDLE_TIMEOUT = 75.0
"""Seconds after which an idle connection ends."""


class HttpFront:
    """Serves the API on the listeners of ``start`` until ``close``."""

    def __init__(
        self,
        checks: ContentChecks,
        settings: HttpSettings,
        max_connections: int = MAX_CONNECTIONS,
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        """Answer at most *max_requests* at a time, half of them of one client.

        A connection beyond *max_connections* is refused with a 503.
        """
        self._max_connections = max_connections
        self._servers: list[asyncio.Server] = []
        self._registry = ClientRegistry(settings, max_requests)
        self._api = CheckApi(checks, settings, self._registry)
        self._settings = settings
        self._draining = False
        self._runner: web.AppRunner | None = None

    @property
    def connection_count(self) -> int:
        """Return the number of open connections."""
        server = None if self._runner is None else self._runner.server
        return 0 if server is None else len(server.connections)

    async def start(self, listeners: Sequence[socket.socket]) -> None:
        """Serve *listeners*, which the front closes."""
        self._draining = False
        self._runner = web.AppRunner(
            self._application(),
            handle_signals=False,
            access_log=None,
            logger=_protocol_log,
            keepalive_timeout=_IDLE_TIMEOUT,
            shutdown_timeout=CLOSE_TIMEOUT,
            auto_decompress=False,
        )
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for listener in listeners:
            self._servers.append(await loop.create_server(self._protocol, sock=listener))

    async def close(self) -> None:
        """Stop accepting, answer the requests under way, and end."""
        self._draining = True
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self._api.close()

    def _protocol(self) -> asyncio.BaseProtocol:
        """Return what serves a new connection."""
        assert self._runner is not None
        assert self._runner.server is not None
        if self.connection_count >= self._max_connections:
            return _RefusedConnection()
        return self._runner.server()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[problem_middleware])
        application.on_response_prepare.append(_hide_server)
        router, api = application.router, self._api
        router.add_get("/v1/live", api.live)
        router.add_get("/v1/ready", api.ready)
        router.add_get("/v1/openapi.json", api.openapi)
        self.add_route(application, "POST", "/v1/check", api.check)
        self.add_route(application, "GET", "/v1/checks/{id}", api.ticket)
        self.add_route(application, "POST", "/v1/lookup", api.lookup)
        self.add_route(application, "GET", "/v1/about", api.about)
        add_dialects(self._settings.dialects, api, self._adder(application))
        return application

    def _adder(self, application: web.Application) -> Callable[[str, str, ClientHandler], None]:
        def add(method: str, path: str, handler: ClientHandler) -> None:
            self.add_route(application, method, path, handler)

        return add

    def add_route(
        self, application: web.Application, method: str, path: str, handler: ClientHandler
    ) -> None:
        """Add a resource for clients that are recognised and within their share."""

        async def serve(request: web.Request) -> web.StreamResponse:
            client = self._admit(request)
            self._registry.acquire(client)
            try:
                return await handler(request, client)
            finally:
                self._registry.release(client)

        application.router.add_route(method, path, serve, expect_handler=self._expect)

    def _admit(self, request: web.Request) -> ApiClient:
        """Return the client of a request that may be answered.  Raises ApiProblem."""
        if self._draining:
            raise unavailable("The gateway is stopping; repeat the request.", Connection="close")
        client = self._registry.recognise(request)
        self._registry.refuse_early(request)
        return client

    async def _expect(self, request: web.Request) -> web.StreamResponse | None:
        """Ask for the body if the request may be answered; refuse it before it is sent if not."""
        if request.headers["Expect"].lower() != "100-continue":
            return ApiProblem(417, "Expectation failed", "Only 100-continue is known.").response()
        try:
            client = self._admit(request)
            self._registry.acquire(client)
            self._registry.release(client)
        except ApiProblem as problem:
            return problem.response()
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the response itself has not begun
        return None


class _RefusedConnection(asyncio.Protocol):
    """Refuses a connection over the limit with a response, and closes it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: %s\r\nConnection: close\r\n"
            b"Content-Length: 0\r\n\r\n" % RETRY_AFTER.encode()
        )
        transport.close()


async def _hide_server(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.pop("Server", None)

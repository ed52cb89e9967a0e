"""A server that fails on purpose, and certificates that are invalid on purpose.

::

    with FaultServer(reset_midway(b"true")) as server: ...

A fault handles one request on one connection; the *fault* of a running server may be replaced at
any time, also by a well-behaved :func:`answer`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import trustme

from support.services.http_server import Record, Request, Respond, Response, Served, read_request

Fault = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


class FaultServer(Served):
    """Handles every request with *fault*; then closes the connection unless *fault* answers."""

    def __init__(self, fault: Fault, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__(tls=tls, port=port)
        self.fault = fault
        self.record = Record()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read requests and apply the fault until the connection is closed."""
        self.record.connections += 1
        while (request := await read_request(reader)) is not None:
            self.record.requests.append(request)
            await self.fault(request, writer)
            if writer.is_closing():
                return


def answer(response: Response) -> Fault:
    """Send this response: a status, a redirect, a meaningless answer."""
    return send(response.wire())


def behave(respond: Respond) -> Fault:
    """Answer as a service does."""

    async def act(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(respond(request).wire())
        await writer.drain()

    return act


def send(raw: bytes) -> Fault:
    """Send these bytes, HTTP or not, and keep the connection open."""

    async def act(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return act


def hang_up(raw: bytes = b"") -> Fault:
    """Send these bytes, then close the connection in an orderly way."""

    async def act(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    return act


def reset(raw: bytes = b"") -> Fault:
    """Send these bytes, then reset the connection (SO_LINGER 0 sends RST)."""

    async def act(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    return act


def black_hole() -> Fault:
    """Accept connections without ever answering."""

    async def act(_: Request, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return act


def flood(raw: bytes, before: bytes = b"") -> Fault:
    """Send *before*, and then *raw* without end."""

    async def act(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        while True:
            writer.write(raw * (65536 // len(raw)))
            await writer.drain()

    return act


def drip(raw: bytes, pause: float) -> Fault:
    """Send one byte every *pause* seconds."""

    async def act(_: Request, writer: asyncio.StreamWriter) -> None:
        for position in range(len(raw)):
            writer.write(raw[position : position + 1])
            await writer.drain()
            await asyncio.sleep(pause)

    return act


def delay(response: Response, pause: float) -> Fault:
    """Answer correctly but late."""

    async def act(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(pause)
        writer.write(response.wire())
        await writer.drain()

    return act


def endless(sent: list[int]) -> Fault:
    """Answer 200 with an endless body; *sent* collects the sizes of the chunks."""

    async def act(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while True:
            writer.write(b"t" * 65536)
            await writer.drain()
            sent.append(65536)

    return act


def server_tls(
    authority: trustme.CA,
    *,
    name: str = "127.0.0.1",
    expires: datetime | None = None,
    clients: trustme.CA | None = None,
) -> ssl.SSLContext:
    """Return a TLS context for *name*, valid until *expires*; it requests a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = authority.issue_cert(name, not_after=expires)
    leaf.configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


def long_ago() -> datetime:
    """Return a moment at which a certificate is expired by any clock that tests use."""
    return datetime(2020, 1, 2, tzinfo=UTC)

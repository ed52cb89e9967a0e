"""The virus scanner behind the gateway: a real clamd, on its Unix socket or by TCP.

Applications have one setting for a socket.  What has no match goes on to the virus scanner, as a
descriptor where it is on this machine, and its answer is given back.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from pathlib import Path
from typing import Self

from hashwacht.ipc.sockets import connect
from hashwacht.settings.gateway import ClamdSettings, split_address

_PIECE = 256 << 10
"""Bytes of a chunk that is sent on by TCP."""

_MAX_REPLY = 1 << 20

_SUBJECT = re.compile(rb"\A(stream|fd\[\d+\]): ")

_VERSION = re.compile(rb"(ClamAV [^/|]+)/(\d{1,9})/([^|]*)")


class UpstreamFailure(Exception):
    """The virus scanner gave no answer."""


class Upstream:
    """Asks one virus scanner, with a connection for each request."""

    def __init__(self, address: str, timeout: float) -> None:
        """*address* is a path, or host and port."""
        self._address, self._timeout = address, timeout

    @classmethod
    def from_settings(cls, settings: ClamdSettings) -> Self | None:
        """Return the configured one, if any.  It has less time than the client waits."""
        return cls(settings.upstream, 0.9 * settings.timeout) if settings.upstream else None

    @property
    def _is_local(self) -> bool:
        return self._address.startswith("/")

    async def check_fd(self, fd: int) -> bytes:
        """Return the verdict on an open file, without its subject.  Raises UpstreamFailure."""
        if self._is_local:
            (reply,) = await self._request(b"zFILDES\0", fd)
        else:
            (reply,) = await self._request(b"zINSTREAM\0", None, fd)
        verdict = _SUBJECT.sub(b"", reply)
        if verdict == b"OK" or verdict.endswith((b" FOUND", b" ERROR")):
            return verdict
        raise UpstreamFailure("an unexpected reply")

    async def version(self, revision: int) -> bytes:
        """Return its version with *revision* added to its number.  Raises UpstreamFailure."""
        (reply,) = await self.ask(b"VERSION")
        parsed = _VERSION.fullmatch(reply)
        if parsed is None:
            raise UpstreamFailure("an unexpected version")
        return b"%s/%d/%s" % (parsed[1], int(parsed[2]) + revision, parsed[3])

    async def ask(self, command: bytes) -> list[bytes]:
        """Return the lines of the reply to *command*.  Raises UpstreamFailure."""
        return await self._request(b"z%s\0" % command)

    async def _request(
        self, command: bytes, passed: int | None = None, streamed: int | None = None
    ) -> list[bytes]:
        """Send *command* and a file as a descriptor or as a stream; return the lines."""
        try:
            async with asyncio.timeout(self._timeout):
                with await self._connect() as connected:
                    loop = asyncio.get_running_loop()
                    await loop.sock_sendall(connected, command)
                    if passed is not None:
                        socket.send_fds(connected, [b"\0"], [passed])
                    if streamed is not None:
                        await _send_file(connected, streamed)
                    reply = await _receive_all(connected)
        except TimeoutError:
            raise UpstreamFailure("no reply in time") from None
        except OSError as error:
            raise UpstreamFailure(error.strerror or str(error)) from error
        if not reply.endswith(b"\0"):
            raise UpstreamFailure("the connection was closed")
        return reply[:-1].split(b"\0")

    async def _connect(self) -> socket.socket:
        """Return a connection that never blocks.  Raises OSError."""
        if self._is_local:
            connected = connect(Path(self._address), 0)
        else:
            host, port = split_address(self._address)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            connected = socket.socket(family, socket.SOCK_STREAM)
            connected.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(connected, (host, port))
            except BaseException:
                connected.close()
                raise
        return connected


async def _send_file(connected: socket.socket, fd: int) -> None:
    """Send a file as a stream, until the other end has replied."""
    loop = asyncio.get_running_loop()
    offset = 0
    while piece := os.pread(fd, _PIECE, offset):
        offset += len(piece)
        try:
            await loop.sock_sendall(connected, len(piece).to_bytes(4, "big") + piece)
        except (BrokenPipeError, ConnectionResetError):
            return  # it may have replied already, over its limit
    await loop.sock_sendall(connected, bytes(4))


async def _receive_all(connected: socket.socket) -> bytes:
    """Return what is received until the end, or an ending of a reply."""
    loop = asyncio.get_running_loop()
    reply = bytearray()
    while len(reply) <= _MAX_REPLY:
        piece = await loop.sock_recv(connected, 1 << 16)
        if not piece:
            break
        reply += piece
    return bytes(reply)

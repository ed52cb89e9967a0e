"""An HTTP proxy on loopback that supports only CONNECT and records its requests."""

from __future__ import annotations

import asyncio
import base64

from hashwacht.secrets import Credential
from support.services.http_server import Record, Response, Served, read_request


class ConnectProxy(Served):
    """Tunnels for clients with its credential; supports nothing but CONNECT."""

    def __init__(self, credential: Credential) -> None:
        super().__init__()
        token = base64.b64encode(credential.to_line().encode()).decode()
        self._expected = f"Basic {token}"
        self.record = Record()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Open one tunnel and copy bytes both ways until one end closes."""
        request = await read_request(reader)
        if request is None:
            return
        self.record.requests.append(request)
        if request.method != "CONNECT":
            writer.write(Response(405).wire())
        elif request.headers.get("proxy-authorization") != self._expected:
            writer.write(Response(407, b"", (("Proxy-Authenticate", "Basic"),)).wire())
        else:
            host, _, port = request.target.rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.wait(
                [
                    asyncio.ensure_future(_carry(reader, far_writer)),
                    asyncio.ensure_future(_carry(far_reader, writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
            far_writer.transport.abort()
        await writer.drain()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass

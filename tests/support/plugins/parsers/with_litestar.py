"""Litestar: a whole application that reads ``request.form()``."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Litestar, Request, post
from litestar.datastructures import UploadFile

from support.plugins.parsers.parsed import ParsedPart

_parts: list[ParsedPart] = []


@post("/")  # type: ignore[untyped-decorator]  # its types are not read
async def _upload(request: Request[Any, Any, Any]) -> None:
    values = [value for _, value in (await request.form()).multi_items()]
    _parts.extend(
        [ParsedPart(await value.read()) for value in values if isinstance(value, UploadFile)]
    )


_APP = Litestar([_upload], openapi_config=None)


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return the files."""
    _parts.clear()

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_: Any) -> None:
        return

    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", content_type.encode("latin-1"))],
    }
    asyncio.run(_APP(scope, receive, send))
    return list(_parts)

"""Starlette, for FastAPI: ``request.form()``, and fields as ``bytes = File()`` receives them."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from support.plugins.parsers.parsed import ParsedPart


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return files, and fields encoded as FastAPI does."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def read() -> list[ParsedPart]:
        headers = [(b"content-type", content_type.encode("latin-1"))]
        scope = {"type": "http", "method": "POST", "headers": headers}
        async with Request(scope, receive).form() as form:
            return [
                ParsedPart(await value.read())
                if isinstance(value, UploadFile)
                else ParsedPart(value.encode(), is_file=False)
                for _, value in form.multi_items()
            ]

    return asyncio.run(read())

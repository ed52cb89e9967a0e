"""Sanic: ``request.files``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from sanic import Sanic
from sanic.compat import Header
from sanic.request import Request

from support.plugins.parsers.parsed import ParsedPart

_APP = Sanic("parser", configure_logging=False)


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return the files."""
    headers = Header({"content-type": content_type})
    transport = cast("Any", SimpleNamespace())
    request: Any = Request(b"/", headers, "1.1", "POST", transport, _APP)
    request.body = body
    files = request.files or {}
    return [ParsedPart(file.body) for several in files.values() for file in several]

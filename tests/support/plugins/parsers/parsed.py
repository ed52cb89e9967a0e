"""What a parser returns for one body: the parts, as the application receives them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ParsedPart:
    """The bytes of a part; *is_file* if the parser itself returns it as a file."""

    content: bytes
    is_file: bool = True


Parse = Callable[[str, bytes], list[ParsedPart]]
"""Parses content type and body; raises anything for a body that it does not accept."""


def environ(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the WSGI environ of a request."""
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "HTTP_HOST": "localhost",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }

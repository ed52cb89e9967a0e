"""CherryPy: a whole application, whose handler receives files as parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cherrypy

from support.plugins.parsers.parsed import ParsedPart, environ


class _Root:
    def __init__(self) -> None:
        self.parts: list[ParsedPart] = []

    @cherrypy.expose  # type: ignore[untyped-decorator]  # its types are not read
    def index(self, **parameters: Any) -> str:
        values = [
            parameter if isinstance(parameter, list) else [parameter]
            for parameter in parameters.values()
        ]
        named = [value for several in values for value in several if not isinstance(value, str)]
        for part in (*named, *cherrypy.request.body.parts):
            content = part.file.read() if part.file else part.fullvalue()
            if isinstance(content, bytes):
                self.parts.append(ParsedPart(content, is_file=bool(part.filename)))
        return ""


_ROOT = _Root()
_APP = cherrypy.Application(_ROOT, "", {"/": {"request.show_tracebacks": False}})
cherrypy.config.update({"environment": "embedded", "log.screen": False})


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return the files."""
    _ROOT.parts = []

    def start_response(*_: Any) -> Callable[[bytes], None]:
        return lambda _: None

    for _ in _APP(environ(content_type, body), start_response):
        pass
    return _ROOT.parts

"""Werkzeug, for Flask and Quart: ``request.files``."""

from __future__ import annotations

from werkzeug.wrappers import Request

from support.plugins.parsers.parsed import ParsedPart, environ


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return the files."""
    files = Request(environ(content_type, body)).files
    return [ParsedPart(file.read()) for _, several in files.lists() for file in several]

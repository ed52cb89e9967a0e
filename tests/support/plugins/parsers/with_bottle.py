"""Bottle: ``request.files``."""

from __future__ import annotations

from bottle import BaseRequest

from support.plugins.parsers.parsed import ParsedPart, environ


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return the files."""
    files = BaseRequest(environ(content_type, body)).files
    return [ParsedPart(file.file.read()) for _, file in files.allitems()]

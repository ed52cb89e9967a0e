"""WebOb, for Pyramid: ``request.POST``."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports the module cgi of Python
    from webob import Request

from support.plugins.parsers.parsed import ParsedPart, environ


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return the files."""
    values = Request(environ(content_type, body)).POST.values()
    return [ParsedPart(value.file.read()) for value in values if hasattr(value, "file")]

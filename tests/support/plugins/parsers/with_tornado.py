"""Tornado: ``request.files`` and ``request.body_arguments``, both bytes."""

from __future__ import annotations

from tornado.httputil import HTTPFile, parse_body_arguments

from support.plugins.parsers.parsed import ParsedPart


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return files and fields."""
    fields: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    parse_body_arguments(content_type, body, fields, files)
    return [
        *(ParsedPart(file["body"]) for several in files.values() for file in several),
        *(ParsedPart(value, is_file=False) for several in fields.values() for value in several),
    ]

"""The library python-multipart with its form parser, which decodes transfer encodings."""

from __future__ import annotations

import io
from typing import Any

from python_multipart import parse_form

from support.plugins.parsers.parsed import ParsedPart


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return files and fields."""
    parts: list[ParsedPart] = []

    def on_field(field: Any) -> None:
        parts.append(ParsedPart(field.value or b"", is_file=False))

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        parts.append(ParsedPart(file.file_object.read()))

    headers = {"Content-Type": content_type.encode("latin-1")}
    parse_form(headers, io.BytesIO(body), on_field, on_file)
    return parts

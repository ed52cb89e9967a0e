"""The library multipart, also in Bottle and Litestar: all parts."""

from __future__ import annotations

import io

from multipart import MultipartParser, parse_options_header

from support.plugins.parsers.parsed import ParsedPart


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return all parts."""
    _, options = parse_options_header(content_type)
    parser = MultipartParser(io.BytesIO(body), options["boundary"], len(body))
    return [ParsedPart(part.raw, is_file=bool(part.filename)) for part in parser]

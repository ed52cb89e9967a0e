"""Falcon: the parts of ``request.media``, all of which are streams."""

from __future__ import annotations

import io

from falcon.media import MultipartFormHandler

from support.plugins.parsers.parsed import ParsedPart


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return all parts."""
    form = MultipartFormHandler().deserialize(io.BytesIO(body), content_type, len(body))
    return [ParsedPart(part.stream.read(), is_file=bool(part.filename)) for part in form]

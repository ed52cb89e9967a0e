"""Django: the parser behind ``request.FILES``."""

from __future__ import annotations

import io

from django.conf import settings  # type: ignore[import-untyped]  # Django ships no types
from django.core.files.uploadhandler import (  # type: ignore[import-untyped]  # as above
    MemoryFileUploadHandler,
)
from django.http.multipartparser import (  # type: ignore[import-untyped]  # as above
    MultiPartParser,
)

from support.plugins.parsers.parsed import ParsedPart


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return the files."""
    if not settings.configured:
        settings.configure()
    head = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": len(body)}
    _, files = MultiPartParser(head, io.BytesIO(body), [MemoryFileUploadHandler()]).parse()
    return [ParsedPart(file.read()) for _, several in files.lists() for file in several]

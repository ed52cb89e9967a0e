"""Protocols that send a file in several requests: each shows a part, and no list knows parts.

They are recognised, told once in the log, and left to their finish step, where the whole file is
there: give it to ``Checker.scan_file``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from urllib.parse import parse_qs

from hashwacht_plugins.multipart.events import Request
from hashwacht_plugins.several import several

_log = logging.getLogger(__name__)


def partial_protocol(request: Request) -> str:
    """Name the protocol by which *request* sends a part of a file; empty if it sends none."""
    headers = request.headers
    if "tus-resumable" in headers or request.content_type == "application/offset+octet-stream":
        return "tus"
    if "content-range" in headers:
        return "Content-Range"
    if {"partNumber", "uploadId"} <= parse_qs(request.query, keep_blank_values=True).keys():
        return "S3 multipart upload"
    if "oc-chunked" in headers or "oc-chunk-offset" in headers or "/dav/uploads/" in request.path:
        return "WebDAV chunking"
    return ""


class Partial:
    """Decides whether a request is passed on because it only shows a part.  Thread-safe.

    Only on *paths* (shell patterns) that the developer named: a client can write any header, and
    none may switch the check off.  Elsewhere the part is checked as if it were a file.
    """

    def __init__(self, paths: Sequence[str], note: Callable[[str], None]) -> None:
        """Pass parts on *paths*; *note* takes the name of a protocol when it is first seen.

        Raises TypeError.
        """
        self._paths, self._note = several(paths), note
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def passes(self, request: Request) -> bool:
        """Say if *request* is to be passed on unchecked; tell each protocol once in the log."""
        protocol = partial_protocol(request)
        if not protocol:
            return False
        with self._lock:
            first = protocol not in self._told
            self._told.add(protocol)
        if first:
            self._note(protocol)
            _log.warning(
                "uploads come in parts (%s): only the assembled file can be known; check it in"
                " your finish step with Checker.scan_file",
                protocol,
            )
        return any(fnmatchcase(request.path, each) for each in self._paths)

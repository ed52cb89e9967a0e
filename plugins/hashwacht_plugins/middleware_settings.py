"""What the ASGI and the WSGI middleware have in common: the settings, and which bodies count.

Protocols that send a file in several requests: each shows a part, and no list knows parts.

They are recognised, told once in the log, and left to their finish step, where the whole file is
there: give it to ``Checker.scan_file``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TypedDict
from urllib.parse import parse_qs

from hashwacht import Checker, ConfigurationError
from hashwacht_plugins.context import ClientInfo, Peer
from hashwacht_plugins.multipart.body import RawBody, body_reader_for
from hashwacht_plugins.multipart.events import RequestHead
from hashwacht_plugins.policy import Policy, ensure_collection
from hashwacht_plugins.upload import UploadInspection, spool_problem

_log = logging.getLogger(__name__)


def partial_protocol(request: RequestHead) -> str:
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


class PartialUploadFilter:
    """Decides whether a request is passed on because it only shows a part.  Thread-safe.

    Only on *paths* (shell patterns) that the developer named: a client can write any header, and
    none may switch the check off.  Elsewhere the part is checked as if it were a file.
    """

    def __init__(self, paths: Sequence[str], note: Callable[[str], None]) -> None:
        """Pass parts on *paths*; *note* takes the name of a protocol when it is first seen.

        Raises TypeError.
        """
        self._paths, self._note = ensure_collection(paths), note
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def passes(self, request: RequestHead) -> bool:
        """Return whether *request* is passed on unchecked; log each such protocol once."""
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


CHUNK = 128 << 10
"""Bytes read at a time where the reader chooses."""

MAX_DRAIN_BYTES = 16 << 20
"""Bytes of a refused body that are still read and forgotten: a client that is cut off while it
sends shows "connection reset" instead of the answer."""

DEFAULT_RAW_BODIES = (RawBody(),)


class MiddlewareOptions(TypedDict, total=False):
    """The settings of a middleware, as :class:`UploadInspector` explains them."""

    checker: Checker | None
    policy: Policy | None
    raw: Sequence[RawBody]
    partial_paths: Sequence[str]
    client_info: ClientInfo | None


class UploadInspector:
    """The settings of one middleware.  Frozen in practice; per-request state is in Upload."""

    def __init__(
        self,
        checker: Checker | None = None,
        *,
        policy: Policy | None = None,
        raw: Sequence[RawBody] = DEFAULT_RAW_BODIES,
        partial_paths: Sequence[str] = (),
        client_info: ClientInfo | None = None,
    ) -> None:
        """Check with *checker*; None: one as the configuration says.

        *raw* are the requests whose whole body is a file, *partial_paths* those where tus, S3
        multipart, Content-Range or WebDAV chunks arrive, *facts* how to know who sends.  Raises
        ConfigurationError.
        """
        self._checker = Checker.configured() if checker is None else checker
        self._policy = policy or Policy()
        if fault := spool_problem(self._policy):
            raise ConfigurationError(
                fault, advice="Make it writable, or name another in the Policy."
            )
        self._raw = tuple(raw)
        self._partial = PartialUploadFilter(partial_paths, self._checker.record_partial_upload)
        self._facts = client_info or ClientInfo()

    def upload(
        self, request: RequestHead, peer: Callable[[], Peer], surroundings: object
    ) -> UploadInspection | None:
        """Begin to look into the body of *request*; None: it is of no interest."""
        body = body_reader_for(request, self._raw, self._policy.max_decoded)
        if self._partial.passes(request) or body is None:
            return None
        return UploadInspection(
            body,
            self._policy,
            self._checker,
            lambda file: self._facts.upload_context(request, peer(), file, surroundings),
        )

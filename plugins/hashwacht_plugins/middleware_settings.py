"""The settings that ASGI and WSGI middleware share, and the choice of bodies to inspect.

Protocols such as tus send a file in several requests, and lists do not contain hashes of parts.
The middleware recognizes these protocols and logs each once; the application checks the assembled
file with ``Checker.scan_file``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypedDict
from urllib.parse import parse_qs

from hashwacht import Checker, ConfigurationError
from hashwacht_plugins.context import ClientInfo, Peer
from hashwacht_plugins.file_check import spool_problem
from hashwacht_plugins.policy import Policy, ensure_collection
from hashwacht_plugins.request_body import RawBody, RequestHead, body_reader_for
from hashwacht_plugins.request_paths import all_forms_match
from hashwacht_plugins.upload import UploadInspection

_log = logging.getLogger(__name__)


def partial_protocol(request: RequestHead) -> str:
    """Return the protocol by which *request* sends part of a file, or an empty text."""
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
    """Decides which requests are passed on because they contain only part of a file.  Thread-safe.

    It does so only on *paths* (shell patterns) set by the developer, which must match the path in
    every form in which an application may read it: no header and no spelling of a client may
    disable the check.  On other paths a part is checked like a file.
    """

    def __init__(self, paths: Sequence[str], record: Callable[[str], None]) -> None:
        """Pass parts on *paths*; call *record* with each protocol when it is first seen.

        Raises TypeError.
        """
        self._paths, self._record = ensure_collection(paths), record
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def passes(self, request: RequestHead) -> bool:
        """Return whether *request* is passed on unchecked; record each protocol once."""
        protocol = partial_protocol(request)
        if not protocol:
            return False
        with self._lock:
            first = protocol not in self._seen
            self._seen.add(protocol)
        if first:
            self._record(protocol)
            _log.warning(
                "uploads arrive in parts (%s), which lists do not contain; check the assembled file"
                " with Checker.scan_file",
                protocol,
            )
        return all_forms_match(request, self._paths)


CHUNK = 128 << 10
"""Bytes read at a time, where the reader chooses."""

MAX_DRAIN_BYTES = 16 << 20
"""Bytes of a refused body that are still read and discarded: a client that is disconnected while
it sends shows "connection reset" instead of the response."""

DEFAULT_RAW_BODIES = (RawBody(),)


class MiddlewareOptions(TypedDict, total=False):
    """The settings of a middleware; see :class:`UploadInspector`."""

    checker: Checker | None
    policy: Policy | None
    raw: Sequence[RawBody]
    partial_paths: Sequence[str]
    client_info: ClientInfo | None


class UploadInspector:
    """Starts inspections with the settings of one middleware.  Thread-safe."""

    def __init__(
        self,
        checker: Checker | None = None,
        *,
        policy: Policy | None = None,
        raw: Sequence[RawBody] = DEFAULT_RAW_BODIES,
        partial_paths: Sequence[str] = (),
        client_info: ClientInfo | None = None,
    ) -> None:
        """Check with *checker*, by default ``Checker.configured()``.

        *raw* are the requests whose whole body is a file, *partial_paths* the paths at which tus,
        S3 multipart, Content-Range or WebDAV chunks arrive, *client_info* how to determine the
        client.  Raises ConfigurationError.
        """
        self._checker = Checker.configured() if checker is None else checker
        self._policy = policy or Policy()
        if problem := spool_problem(self._policy):
            advice = "Make it writable, or set another spool directory in the Policy."
            raise ConfigurationError(problem, advice=advice)
        self._raw = tuple(raw)
        self._partial = PartialUploadFilter(partial_paths, self._checker.record_partial_upload)
        self._client_info = client_info or ClientInfo()

    def inspect(
        self, request: RequestHead, peer: Callable[[], Peer], surroundings: object
    ) -> UploadInspection | None:
        """Return an inspection of the body of *request*, or None if there is nothing to inspect."""
        body = body_reader_for(request, self._raw, self._policy.max_decoded)
        if self._partial.passes(request) or body is None:
            return None
        return UploadInspection(
            body,
            self._policy,
            self._checker,
            lambda file: self._client_info.upload_context(request, peer(), file, surroundings),
        )

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
from hashwacht_plugins.context import Facts, Peer
from hashwacht_plugins.multipart.body import Raw, body_of
from hashwacht_plugins.multipart.events import Request
from hashwacht_plugins.policy import Policy, several
from hashwacht_plugins.upload import Upload, no_room

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


CHUNK = 128 << 10
"""Bytes read at a time where the reader chooses."""

DRAIN = 16 << 20
"""Bytes of a refused body that are still read and forgotten: a client that is cut off while it
sends shows "connection reset" instead of the answer."""

READ_AS_FILE = (Raw(),)


class Settings(TypedDict, total=False):
    """The settings of a middleware, as :class:`Intake` explains them."""

    checker: Checker | None
    policy: Policy | None
    raw: Sequence[Raw]
    partial_paths: Sequence[str]
    facts: Facts | None


class Intake:
    """The settings of one middleware.  Frozen in practice; per-request state is in Upload."""

    def __init__(
        self,
        checker: Checker | None = None,
        *,
        policy: Policy | None = None,
        raw: Sequence[Raw] = READ_AS_FILE,
        partial_paths: Sequence[str] = (),
        facts: Facts | None = None,
    ) -> None:
        """Check with *checker*; None: one as the configuration says.

        *raw* are the requests whose whole body is a file, *partial_paths* those where tus, S3
        multipart, Content-Range or WebDAV chunks arrive, *facts* how to know who sends.  Raises
        ConfigurationError.
        """
        self._checker = Checker.configured() if checker is None else checker
        self._policy = policy or Policy()
        if fault := no_room(self._policy):
            raise ConfigurationError(
                fault, advice="Make it writable, or name another in the Policy."
            )
        self._raw = tuple(raw)
        self._partial = Partial(partial_paths, self._checker.note_partial)
        self._facts = facts or Facts()

    def upload(
        self, request: Request, peer: Callable[[], Peer], surroundings: object
    ) -> Upload | None:
        """Begin to look into the body of *request*; None: it is of no interest."""
        body = body_of(request, self._raw, self._policy.max_decoded)
        if self._partial.passes(request) or body is None:
            return None
        return Upload(
            body,
            self._policy,
            self._checker,
            lambda file: self._facts.circumstances(request, peer(), file, surroundings),
        )

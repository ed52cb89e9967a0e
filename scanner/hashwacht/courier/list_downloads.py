"""Hash lists fetched over HTTPS, part by part, for `hashwacht lists update`.

A part is read from the connection when it is requested, so that a list of any size needs the memory
of one part.  Redirects are not followed and environment variables for proxies are ignored: the
address is that of the configuration.  A download that is not continued is closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpcore  # noqa: F401  # httpx imports it late, which the courier's sandbox would prevent
import httpx

from hashwacht import __version__
from hashwacht.core.errors import HashwachtError
from hashwacht.ipc.messages import (
    MAX_PART,
    FailureReply,
    FileRole,
    ListPartReply,
    ListPartRequest,
)
from hashwacht.matching.hashlists.update_state import suffix_of
from hashwacht.matching.services.http import context_trusting, fault_from_error
from hashwacht.secrets import SecretSources, load_credential
from hashwacht.settings import ListSourceSettings

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 60.0
"""Seconds for a connection, and for the next bytes."""

PART_TIME = 60.0
"""Seconds within which a part must have arrived, between two reads: 9 kB a second at least."""

IDLE_TIMEOUT = 600.0
"""Seconds after which a download that is not continued is closed by the next request."""


@dataclass(slots=True)
class _Download:
    """One file under way, and the part that was sent last."""

    parts: Iterator[ListPartReply]
    stack: ExitStack
    last_number: int = -1
    last_reply: ListPartReply | None = None
    used_at: float = 0.0


class ListDownloads:
    """The downloads of one source.  Thread-safe; a failure is a value."""

    def __init__(
        self,
        source: ListSourceSettings,
        secrets: SecretSources,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Do nothing yet: credentials and certificates are read for each download."""
        self._source, self._secrets, self._clock = source, secrets, clock
        self._lock = threading.Lock()
        self._downloads: dict[FileRole, _Download] = {}

    def fetch(self, request: ListPartRequest) -> ListPartReply | FailureReply:
        """Return one part; the first one opens a new download."""
        with self._lock:
            try:
                return self._fetch(request)
            except (httpx.HTTPError, OSError) as error:
                self._close(request.role)
                problem = fault_from_error(error).detail
                advice = f"Check lists.{self._source.name}.url, name resolution, firewall."
                return FailureReply(f"the source of the list: {problem}", advice)
            except HashwachtError as error:
                self._close(request.role)
                return FailureReply(error.message, error.advice)

    def close(self) -> None:
        """Close all downloads."""
        with self._lock:
            for role in [*self._downloads]:
                self._close(role)

    def _fetch(self, request: ListPartRequest) -> ListPartReply | FailureReply:
        self._close_idle()
        if request.number == 0:
            self._close(request.role)
            if (failure := self._open(request.role)) is not None:
                return failure
        download = self._downloads.get(request.role)
        if download is None:
            return FailureReply("the download was interrupted", "Run the update again.")
        download.used_at = self._clock()
        if request.number == download.last_number and download.last_reply is not None:
            return download.last_reply
        if request.number != download.last_number + 1:
            self._close(request.role)
            return FailureReply("parts were requested out of order", "Run the update again.")
        reply = next(download.parts)
        download.last_number, download.last_reply = request.number, reply
        return reply

    def _open(self, role: FileRole) -> FailureReply | None:
        """Send the request; return why its response is of no use."""
        stack = ExitStack()
        with stack:
            client = stack.enter_context(self._client())
            url = self._source.url + suffix_of(self._source, role)
            response = stack.enter_context(client.stream("GET", url))
            if response.status_code != httpx.codes.OK:
                return _refused(response.status_code, self._source)
            chunks = response.iter_raw()
            self._downloads[role] = _Download(_parts(chunks, self._clock), stack.pop_all())
        return None

    def _client(self) -> httpx.Client:
        source, auth = self._source, None
        if source.credentials:
            credential = load_credential(source.credentials, self._secrets)
            auth = httpx.BasicAuth(credential.user, credential.password)
        return httpx.Client(
            verify=context_trusting(source.ca_file),
            auth=auth,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            headers={"User-Agent": f"hashwacht/{__version__}", "Accept-Encoding": "identity"},
        )

    def _close_idle(self) -> None:
        now = self._clock()
        for role, download in [*self._downloads.items()]:
            if now - download.used_at > IDLE_TIMEOUT and download.last_number >= 0:
                self._close(role)

    def _close(self, role: FileRole) -> None:
        if (download := self._downloads.pop(role, None)) is not None:
            download.stack.close()


def _parts(chunks: Iterator[bytes], clock: Callable[[], float]) -> Iterator[ListPartReply]:
    """Yield parts of the same size; the last one is shorter or empty.

    Raises ReadTimeout if a source sends too slowly for a part to be complete in time.
    """
    pending, deadline = bytearray(), clock() + PART_TIME
    for chunk in chunks:
        pending += chunk
        while len(pending) > MAX_PART:
            yield ListPartReply(bytes(pending[:MAX_PART]), last=False)
            del pending[:MAX_PART]
            deadline = clock() + PART_TIME
        if clock() > deadline:
            raise httpx.ReadTimeout("a part did not arrive in time")
    yield ListPartReply(bytes(pending), last=True)


def _refused(status: int, source: ListSourceSettings) -> FailureReply:
    advice = f"Check lists.{source.name}.url, and ask the owner of the list."
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        advice = f"Check lists.{source.name}.credentials with `hashwacht credentials check`."
    if httpx.codes.is_redirect(status):
        advice = "Redirects are not followed: configure the final address."
    return FailureReply(f"the source of the list returned HTTP status {status}", advice)

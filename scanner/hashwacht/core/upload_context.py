"""The circumstances of uploads, kept on this machine in case their content matches.

A hoster that learns of a match has to report what it knows (Regulation (EU) 2022/2065, article
18): the user, the file, the time and the address.  The web application knows them only during the
request, and a match may come weeks later, when a list has grown.  So they are stored next to the
state, one file (mode 0600) for each content, one JSON object a line, until the content is found to
have no match.  They are not signals: no matcher has a parameter for them.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hashwacht.core.errors import StorageError

_KEY = re.compile(r"[0-9a-f]{64}")
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_AT_MOST = 1 << 20
"""Bytes kept for one content, enough for thousands of uploads of it."""

MAX_TEXT_CHARACTERS = 1024
"""Characters kept of a text chosen by the client."""


@dataclass(frozen=True, slots=True)
class UploadContext:
    """What a request contains about one file; empty or None if it does not.

    *received_at* is ISO 8601 with seconds and zone.  *address* and *port* are the client's;
    *user* is the application's name for its user; *path* is that of the request, *field* and
    *file_name* are from the form, *declared_type* is the media type that the client declares.
    *submitter_uid* is the user ID of the application that passed it to the daemon, from the
    kernel; None if the application checked it itself.
    """

    received_at: str
    address: str = ""
    port: int | None = None
    user: str = ""
    path: str = ""
    field: str = ""
    file_name: str = ""
    declared_type: str = ""
    submitter_uid: int | None = None


def client_of(context: UploadContext | None) -> str:
    """Return who sent an upload, as far as shares and quotas are concerned; "" if unknown.

    That is the application's user ID, where the kernel reports it, and the client's address, of
    which one client has 64 bits under IPv6 (RFC 6177).
    """
    if context is None:
        return ""
    address = context.address[:MAX_TEXT_CHARACTERS]
    with suppress(ValueError):
        parsed = ipaddress.ip_address(address)
        if parsed.version == 6:  # noqa: PLR2004  # the protocol's number
            address = str(ipaddress.ip_network((parsed, 64), strict=False))
    return address if context.submitter_uid is None else f"{context.submitter_uid} {address}"


class UploadContextStore:
    """The circumstances of uploads, by content.  Thread-safe, also between processes."""

    def __init__(self, directory: Path) -> None:
        """Store them in *directory*, which is created when first needed."""
        self._directory = directory

    def record(self, key: str, context: UploadContext) -> None:
        """Record one upload of the content *key* (SHA-256, hex).

        It survives the end of the process; a power cut may lose the last ones.  Raises
        StorageError.
        """
        line = json.dumps(_bounded(context), ensure_ascii=True) + "\n"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._file(key), _APPEND, 0o600)
            try:
                if os.fstat(fd).st_size < _AT_MOST:
                    os.write(fd, line.encode("ascii"))  # one write: lines do not mingle
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(
                f"{self._directory}: {error.strerror}",
                advice="Make the state directory writable for the web application's user.",
            ) from error

    def load(self, key: str) -> list[UploadContext]:
        """Return all uploads of a content, the oldest first.  Raises OSError."""
        try:
            text = self._file(key).read_text("ascii")
        except FileNotFoundError:
            return []
        return [_parse_line(line) for line in text.splitlines()]

    def keys(self) -> Iterator[str]:
        """Yield the contents with recorded uploads, in no order."""
        if self._directory.is_dir():
            names = (path.name for path in self._directory.iterdir())
            yield from filter(_KEY.fullmatch, names)

    def last_recorded_at(self, key: str) -> float | None:
        """Return the Unix time of the last recorded upload; None if never.  Raises OSError."""
        try:
            return self._file(key).stat().st_mtime
        except FileNotFoundError:
            return None

    def remove(self, key: str) -> None:
        """Remove the recorded uploads of a content."""
        self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError("a content is named by 64 hex digits")
        return self._directory / key


def _bounded(context: UploadContext) -> dict[str, object]:
    """Truncate what a client can make arbitrarily long."""
    return {
        name: value[:MAX_TEXT_CHARACTERS] if isinstance(value, str) else value
        for name, value in asdict(context).items()
    }


def _parse_line(line: str) -> UploadContext:
    """Return one recorded upload; *submitter_uid* was stored as ``handed_by`` before 0.1."""
    fields = json.loads(line)
    if "handed_by" in fields:
        fields["submitter_uid"] = fields.pop("handed_by")
    return UploadContext(**fields)

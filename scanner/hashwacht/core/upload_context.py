"""The circumstances of an upload, as a web application states them; who sent it, for shares.

They are recorded on this machine in case the content matches (:mod:`hashwacht.storage.uploads`).
"""

from __future__ import annotations

import ipaddress
import json
from contextlib import suppress
from dataclasses import asdict, dataclass

MAX_TEXT_CHARACTERS = 1024
"""Characters kept of a text chosen by the client."""

MAX_RECORD_LENGTH = 8 << 10
"""Characters of one encoded record."""


@dataclass(frozen=True, slots=True)
class UploadContext:
    """What a request contains about one file; empty or None if it does not.

    *received_at* is ISO 8601 with seconds and zone.  *address* and *port* are the client's;
    *user* is the application's name for its user; *path* is that of the request, *field* and
    *file_name* are from the form, *declared_type* is the media type that the client declares.
    *submitter_uid* is the user ID of the application that passed it to the daemon or the gateway,
    from the kernel; None if the application checked it itself.  *event* is the number, eight
    hexadecimal digits, that a client of the gateway was shown.
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
    event: str = ""


def client_of(context: UploadContext | None) -> str:
    """Return who sent an upload, as far as shares and quotas are concerned; "" if unknown.

    That is the application's user ID, where the kernel reports it, and the client's address, of
    which one client has 64 bits under IPv6 (RFC 6177).  An IPv4-mapped address, as a socket for
    both families reports it, is that IPv4 address.
    """
    if context is None:
        return ""
    address = context.address[:MAX_TEXT_CHARACTERS]
    with suppress(ValueError):
        parsed = ipaddress.ip_address(address)
        if isinstance(parsed, ipaddress.IPv6Address):
            mapped = parsed.ipv4_mapped
            address = str(mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return address if context.submitter_uid is None else f"{context.submitter_uid} {address}"


def encode_context(context: UploadContext) -> str:
    """Return one line of JSON, with texts cut so that it has at most MAX_RECORD_LENGTH."""
    limit = MAX_TEXT_CHARACTERS
    while len(line := json.dumps(_bounded(context, limit), ensure_ascii=True)) > MAX_RECORD_LENGTH:
        limit //= 2
    return line


def decode_context(line: str) -> UploadContext:
    """Return one recorded upload; *submitter_uid* was stored as ``handed_by`` before 0.1."""
    fields = json.loads(line)
    if "handed_by" in fields:
        fields["submitter_uid"] = fields.pop("handed_by")
    return UploadContext(**fields)


def _bounded(context: UploadContext, limit: int) -> dict[str, object]:
    """Truncate what a client can make arbitrarily long."""
    return {
        name: value[:limit] if isinstance(value, str) else value
        for name, value in asdict(context).items()
    }

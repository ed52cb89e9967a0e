"""The circumstances of an upload as headers of a request: who, from where, when, which name.

The client of the API is an application, so the address and user of the uploader are what it states
in headers.  A header that cannot be understood fails the request: a wrong address in a report
accuses a wrong person.  The server decodes what the client (:mod:`hashwacht.client`) encodes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

from hashwacht.core.upload_context import UploadContext

USER, CLIENT = "Hashwacht-User", "Hashwacht-Client"
FILE_NAME, PATH = "Hashwacht-File-Name", "Hashwacht-Path"
RECEIVED_AT = "Hashwacht-Received-At"

_EXTENDED = re.compile(r"utf-8'[A-Za-z0-9-]*'([!#$&+.^_`|~0-9A-Za-z%-]*)", re.IGNORECASE)
"""A value by RFC 8187, 3.2: any text in ASCII."""

_ADDRESS = re.compile(r"\[(?P<v6>[^]]+)](?::(?P<port6>\d{1,5}))?|(?P<v4>[\d.]+):(?P<port4>\d{1,5})")
_TYPE_CHARACTERS = "/+;= .-_\"!#$&^'(),:?@*"
_MAX_PORT = (1 << 16) - 1


@dataclass(frozen=True, slots=True)
class Part:
    """What a form states about one of its files."""

    field: str = ""
    file_name: str = ""
    declared_type: str = ""


def context_of(headers: Mapping[str, str], uid: int | None) -> UploadContext:
    """Return what the headers state; *uid* is the application's user.  Raises ValueError."""
    address, port = _client(headers.get(CLIENT, ""))
    return UploadContext(
        received_at=_received_at(headers.get(RECEIVED_AT, "")),
        address=address,
        port=port,
        user=_text(headers, USER),
        path=_text(headers, PATH),
        file_name=_text(headers, FILE_NAME),
        declared_type=headers.get("Content-Type", ""),
        submitter_uid=uid,
    )


def headers_of(context: UploadContext) -> dict[str, str]:
    """Return the headers that state *context*; what is empty is left out."""
    address = f"[{context.address}]" if ":" in context.address else context.address
    texts = {USER: context.user, PATH: context.path, FILE_NAME: context.file_name}
    headers = {
        CLIENT: address if context.port is None else f"{address}:{context.port}",
        RECEIVED_AT: context.received_at,
        "Content-Type": quote(context.declared_type, safe=_TYPE_CHARACTERS),
        **{name: f"utf-8''{quote(text, safe='')}" for name, text in texts.items() if text},
    }
    return {name: value for name, value in headers.items() if value}


def context_of_part(context: UploadContext, part: Part) -> UploadContext:
    """Return the circumstances of a file in a form."""
    return replace(
        context,
        field=part.field,
        file_name=part.file_name or context.file_name,
        declared_type=part.declared_type,
    )


def _text(headers: Mapping[str, str], name: str) -> str:
    """Return a header as text, also an extended value."""
    value = headers.get(name, "")
    extended = _EXTENDED.fullmatch(value)
    if extended is None:
        return value
    try:
        return unquote_to_bytes(extended[1]).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not valid UTF-8; see RFC 8187.") from error


def _client(value: str) -> tuple[str, int | None]:
    """Return address and port: ``203.0.113.9:51234``, ``[2001:db8::1]:443`` or without a port."""
    if not value:
        return "", None
    parts = _ADDRESS.fullmatch(value.strip())
    text = value.strip() if parts is None else parts["v6"] or parts["v4"]
    port = None if parts is None else int(parts["port6"] or parts["port4"] or 0) or None
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise ValueError(f"{CLIENT} is not an address such as 203.0.113.9:51234.") from error
    if port is not None and port > _MAX_PORT:
        raise ValueError(f"{CLIENT} has a port above {_MAX_PORT}.")
    return str(getattr(address, "ipv4_mapped", None) or address), port


def _received_at(value: str) -> str:
    """Return the stated time, or now, in ISO 8601 with seconds and zone."""
    if not value:
        return datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    try:
        stated = datetime.fromisoformat(value)
    except ValueError:
        stated = None
    if stated is None or stated.tzinfo is None:
        raise ValueError(f"{RECEIVED_AT} is not a time such as 2026-12-01T10:00:00+01:00.")
    return stated.isoformat(timespec="seconds")

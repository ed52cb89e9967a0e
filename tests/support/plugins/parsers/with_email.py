"""Python's ``email``, which replaces ``cgi`` in many scripts: parts decoded and as they came."""

from __future__ import annotations

from email import message_from_bytes
from email.message import Message
from email.policy import HTTP, Policy, compat32
from typing import Any

from support.plugins.parsers.parsed import ParsedPart

_POLICIES: tuple[Policy[Any], ...] = (compat32, HTTP)


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return all parts, by the old and the new interface."""
    content = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body
    parts = []
    for policy in _POLICIES:
        message: Message[Any, Any] = message_from_bytes(content, policy=policy)
        if not message.is_multipart():
            continue
        for part in message.walk():
            if part.is_multipart():
                continue
            decoded: Any = part.get_payload(decode=True)
            text: Any = part.get_payload()
            is_file = bool(part.get_filename())
            parts.append(ParsedPart(bytes(decoded or b""), is_file))
            if str(text).isascii():  # otherwise it is damaged
                parts.append(ParsedPart(str(text).encode(), is_file))
    return parts

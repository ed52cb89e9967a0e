"""How squidclamav 7.5 passes on a form."""

from __future__ import annotations

import base64

from support.plugins.upload_forms import BOUNDARY, MULTIPART

ENVELOPE = (
    b"To: ClamAV\r\nFrom: SquidClamav\r\nSubject: scan\r\nMIME-Version: 1.0\r\nContent-Type: "
)
"""As in src/squidclamav.c of 7.5, build_mime_email."""


def squidclamav_mail(*parts: tuple[bytes, bytes]) -> bytes:
    """Return the mail that squidclamav 7.5 makes of a form."""
    pieces = [ENVELOPE + MULTIPART.encode() + b"\r\n\r\n"]
    for head, content in parts:
        pieces += [b"--", BOUNDARY, b"\r\n", head, b"\r\n"]
        pieces.append(b"Content-Transfer-Encoding: base64\r\n\r\n")
        encoded = base64.b64encode(content)
        pieces += [encoded[at : at + 76] + b"\r\n" for at in range(0, len(encoded), 76)]
    return b"".join([*pieces, b"--", BOUNDARY, b"--\r\n"])

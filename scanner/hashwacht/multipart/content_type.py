"""The content type of a multipart body, and whether all parsers read it alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

_PARAMETER = r"[A-Za-z0-9-]+=(?:[\w!#$&^.+-]+|\"[^\"\\;\x00-\x1f\x7f]*\")"
_CONTENT_TYPE = re.compile(
    rf"multipart/[a-z0-9.+-]+(?:[ \t]*;[ \t]*{_PARAMETER})*[ \t]*;?[ \t]*",
    re.IGNORECASE | re.ASCII,
)
"""RFC 9110, 8.3.1, without what parsers read differently: escapes, semicolons between quotes."""

_BOUNDARY_PARAMETER = re.compile(r"boundary[^;]*=", re.IGNORECASE)
"""Also one between the quotes of another parameter, or an extended one (RFC 2231)."""

_BOUNDARY = re.compile(rb"(?=.*[0-9A-Za-z])[0-9A-Za-z'()+_,./:=?-]{1,200}")
"""RFC 2046, 5.1.1, without the blank, which some parsers strip, and with a letter or digit, because
hyphens alone cannot be distinguished from those around them.

Longer than the 70 allowed there: Werkzeug's client sometimes writes 72, and servers accept 200.
"""

_TOKEN = re.compile(rb"[0-9A-Za-z_.+-]+")
"""A boundary that needs no quotes.  RFC 2046 requires them around all other characters, and
parsers end a boundary without quotes in different places."""

_CHARSETS = {
    "": "utf-8",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "latin-1",
    "ascii": "latin-1",
    "iso-8859-1": "latin-1",
    "latin-1": "latin-1",
    "latin1": "latin-1",
}
"""How Starlette decodes a field of a form with this charset: if it is not UTF-8, as Latin-1."""


@dataclass(frozen=True, slots=True)
class MultipartType:
    """A content type that all parsers read alike.

    *charset* is that by which fields are decoded, ``utf-8`` or ``latin-1``; empty if the body is
    no form.
    """

    boundary: bytes
    charset: str


def parse_content_type(header: str) -> MultipartType | str:
    """Return the type, or why parsers could read *header* in different ways."""
    if not _CONTENT_TYPE.fullmatch(header.strip(" \t")):
        return "a content type that is written unusually"
    if len(_BOUNDARY_PARAMETER.findall(header)) != 1 or header.lower().count("multipart/") != 1:
        return "a content type that does not name exactly one boundary"
    kind, options = parse_options_header(header)
    boundary = options.get(b"boundary", b"")
    charset = _CHARSETS.get(options.get(b"charset", b"").decode("latin-1").lower(), "")
    if not charset or kind == b"multipart/digest":
        return "a charset other than UTF-8 and Latin-1, or a digest of messages"
    if problem := _boundary_problem(boundary, header):
        return problem
    return MultipartType(boundary, charset if kind == b"multipart/form-data" else "")


def is_boundary(boundary: bytes) -> bool:
    """Return whether all parsers accept *boundary*, in quotes where it needs them."""
    return bool(_BOUNDARY.fullmatch(boundary))


def _boundary_problem(boundary: bytes, header: str) -> str:
    """Return what is wrong with the boundary, or an empty text."""
    if not is_boundary(boundary):
        return "a boundary with characters that RFC 2046 does not allow"
    if not _TOKEN.fullmatch(boundary) and f'"{boundary.decode()}"' not in header:
        return "a boundary with characters that need quotes"
    return ""


def nested_boundary(options: Mapping[bytes, bytes]) -> bytes:
    """Return the boundary of a nested multipart; empty if parsers disagree about it."""
    boundary = options.get(b"boundary", b"")
    return boundary if _TOKEN.fullmatch(boundary) and is_boundary(boundary) else b""

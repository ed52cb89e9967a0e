"""Multipart bodies as browsers send them, and functions to cut them."""

from __future__ import annotations

from itertools import pairwise

BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"

MULTIPART = "multipart/form-data; boundary=" + BOUNDARY.decode("ascii")

Part = tuple[bytes, bytes]
"""Headers without their last line break, and content."""


def file_part(content: bytes, name: bytes = b"a.jpg", field_name: bytes = b"file") -> Part:
    """Return a part as browsers send a chosen file."""
    head = b'Content-Disposition: form-data; name="' + field_name + b'"; filename="' + name + b'"'
    return head + b"\r\nContent-Type: image/jpeg", content


def field_part(value: bytes, name: bytes = b"title") -> Part:
    """Return a part as browsers send a text field."""
    return b'Content-Disposition: form-data; name="' + name + b'"', value


def form(*parts: Part, boundary: bytes = BOUNDARY) -> bytes:
    """Return a multipart body of these parts."""
    delimited = [b"--" + boundary + b"\r\n" + h + b"\r\n\r\n" + c + b"\r\n" for h, c in parts]
    return b"".join(delimited) + b"--" + boundary + b"--\r\n"


def cut(body: bytes, *places: int) -> list[bytes]:
    """Cut *body* at these positions."""
    edges = [0, *sorted(places), len(body)]
    return [body[a:b] for a, b in pairwise(edges)]

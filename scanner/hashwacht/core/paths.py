r"""Paths for people and for machines: names are bytes, and an attacker may have chosen them.

*For people*, :func:`escape_path` escapes every byte that a terminal, a log or a page could
interpret.  It can be undone: a backslash is written ``\\``, every other escaped byte ``\xNN``, as
in the shell's ``$'...'``.

*For machines*, :func:`to_json` returns one or two keys.  ``path`` is always a string.  Without
another key, the bytes are its UTF-8 encoding.  If the bytes are not UTF-8, ``path`` is the escaped
form, for reading only, and ``path_b64`` contains the bytes in Base64 (RFC 4648, section 4).  JSON
cannot represent such names (RFC 8259, section 8.1), and lone surrogates, the usual workaround,
break half of all parsers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from hashwacht.core.text import escape_text

_ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|\\)")


def escape_path(path: bytes) -> str:
    r"""Return *path* as one line that is harmless to a terminal and can be read back.

    Letters, digits, marks, signs and plain spaces of any script stay.  Control characters, bytes
    that are no UTF-8, and invisible or direction-changing characters (Unicode's groups ``C`` and
    ``Z``) become ``\xNN`` for each of their bytes.  Scripts written from right to left are shown
    as they are: a terminal that reorders them does so for every program.
    """
    text = path.decode("utf-8", "surrogateescape")
    return escape_text(text.replace("\\", "\\\\"))


def unescape_path(text: str) -> bytes:
    """Return the bytes of an escaped path."""
    return _ESCAPE.sub(
        lambda match: bytes.fromhex(match[1].decode()) if match[1] else b"\\", text.encode("utf-8")
    )


def to_json(path: bytes) -> dict[str, str]:
    """Return the keys for *path* in a JSON object, as the module describes."""
    try:
        return {"path": path.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path": escape_path(path), "path_b64": base64.b64encode(path).decode("ascii")}


def from_json(fields: Mapping[str, object]) -> bytes:
    """Return the bytes of the path in a JSON object.

    Raises KeyError if there is none, TypeError or ValueError if it is malformed.
    """
    if (encoded := fields.get("path_b64")) is not None:
        return base64.b64decode(_string(encoded), validate=True)
    return _string(fields["path"]).encode("utf-8")


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a path is written as a string")
    return value

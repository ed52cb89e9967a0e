r"""Paths for people and for machines: names are bytes, and anybody may have chosen them.

*For people*, :func:`show` escapes every byte that a terminal, a log or a page could take for
something else than a letter of the name.  It can be undone: backslash is written ``\\``, every
other byte that is not shown is written ``\xNN``, as in the shell's ``$'...'``.

*For machines*, :func:`to_json` gives one or two keys.  ``path`` is always a string.  If it
stands alone, the bytes are exactly its UTF-8 form.  If the bytes are not UTF-8, ``path`` is only
for reading (it is what :func:`show` says) and ``path_b64`` holds the bytes in Base64 (RFC 4648,
section 4).  JSON has no form of its own for such names (RFC 8259, section 8.1), and lone
surrogates, the usual way out, break half of all parsers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from hashwacht.core.text import escape_text

_ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|\\)")


def escape_path(path: bytes) -> str:
    r"""Write *path* so that it is one line, harmless to a terminal, and can be read back.

    Letters, digits, marks, signs and plain spaces of any script stay.  Control characters, bytes
    that are no UTF-8, and invisible or direction-changing characters (Unicode's groups ``C`` and
    ``Z``) become ``\xNN`` for each of their bytes.  Scripts written from right to left are shown
    as they are: a terminal that reorders them does so for every program.
    """
    text = path.decode("utf-8", "surrogateescape")
    return escape_text(text.replace("\\", "\\\\"))


def unescape_path(text: str) -> bytes:
    """Give back the bytes that :func:`show` was given."""
    return _ESCAPE.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\",
        text.encode("utf-8"),
    )


def to_json(path: bytes) -> dict[str, str]:
    """Give the keys that stand for *path* in an object of our JSON; see the head of the module."""
    try:
        return {"path": path.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path": escape_path(path), "path_b64": base64.b64encode(path).decode("ascii")}


def from_json(fields: Mapping[str, object]) -> bytes:
    """Read the bytes of a path out of an object of our JSON.

    Raises KeyError if it has no path, TypeError or ValueError if what it has is none.
    """
    if (encoded := fields.get("path_b64")) is not None:
        return base64.b64decode(_string(encoded), validate=True)
    return _string(fields["path"]).encode("utf-8")


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a path is written as a string")
    return value

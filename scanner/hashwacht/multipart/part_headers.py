"""The headers of a part: what it is, and which headers make parsers disagree."""

from __future__ import annotations

import re

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

_NAME = re.compile(rb"[A-Za-z0-9-]{1,100}")
"""Names that no parser changes: Bottle, for one, reads ``Content_Type`` as ``Content-Type``."""

_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Bytes at which some parser ends a header line or its text."""

_EXTENDED_NAME = re.compile(rb';\s*filename\*(?:\d+\*?)?\s*=\s*"?([^";]*)', re.IGNORECASE)
"""RFC 5987 file names: forbidden in forms (RFC 7578, 4.2), but frameworks understand them."""

_FILE_TYPE = re.compile(rb"(image|video)/|application/octet-stream$")
"""Content types of parts that are files even without a file name: RFC 2387, current APIs."""

_PLAIN = frozenset({b"", b"7bit", b"8bit", b"binary"})


class PartHeaders:
    """Collects the headers of one part.  Every method may raise FormParserError."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def add(self, name: bytes, value: bytes) -> None:
        """Add a header."""
        if not _NAME.fullmatch(name):
            raise FormParserError(f"a header of a part is named {name[:40]!r}")
        if _CONTROLS.search(value):
            raise FormParserError("a header that some parsers read as more than one line")
        name = name.lower()
        if name in self._values:
            raise FormParserError(
                "a part repeats a header: parsers disagree about which one counts"
            )
        self._values[name] = value

    def finish(self) -> None:
        """Check the headers together and interpret the content type."""
        if not self._values:
            raise FormParserError(
                "a part without headers: Werkzeug would continue to look for them"
            )
        self.type, self.type_options = parse_options_header(self._type_header)
        if self.type.startswith(b"message/") and not self.is_file:
            raise FormParserError("a message in a form: some parsers look for files in it")
        if self._values.get(b"content-encoding", b"identity").lower() != b"identity":
            raise FormParserError("a content encoding of a part that not every framework decodes")

    @property
    def is_file(self) -> bool:
        """Whether any parser takes the part for a file by its headers.

        Any spelling of a file name counts; Python's ``email`` also takes the name of the type.
        """
        disposition = self._disposition.lower()
        named = b"filename" in disposition or b"name" in self._type_header.lower()
        return named or bool(_FILE_TYPE.match(self.type))

    @property
    def has_name(self) -> bool:
        """Whether the part has a file name that every parser knows."""
        return b"filename" in parse_options_header(self._disposition)[1]

    @property
    def field(self) -> bytes:
        """The name of the field, or nothing."""
        return parse_options_header(self._disposition)[1].get(b"name", b"")

    @property
    def file_name(self) -> bytes:
        """The file name, or nothing."""
        extended = _EXTENDED_NAME.search(self._disposition)
        default = extended[1] if extended else self.type_options.get(b"name", b"")
        return parse_options_header(self._disposition)[1].get(b"filename", default)

    @property
    def length(self) -> bytes | None:
        """The Content-Length of the part, or None."""
        return self._values.get(b"content-length")

    @property
    def is_base64(self) -> bool:
        """Whether some frameworks decode the part from base64.

        RFC 7578 deprecates transfer encodings. Frameworks disagree about quoted-printable too, so
        every other encoding raises FormParserError.
        """
        encoding = self._values.get(b"content-transfer-encoding", b"").lower()
        if encoding not in _PLAIN and encoding != b"base64":
            raise FormParserError("a transfer encoding of a part that not every framework decodes")
        return encoding == b"base64"

    @property
    def _disposition(self) -> bytes:
        return self._values.get(b"content-disposition", b"")

    @property
    def _type_header(self) -> bytes:
        return self._values.get(b"content-type", b"")

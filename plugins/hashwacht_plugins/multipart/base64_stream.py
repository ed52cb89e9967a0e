"""Base64 as it comes, in pieces of any length, with the same outcome however it is cut.

python-multipart's decoder takes every four characters that arrive together, line ends included, so
its outcome depends on where the network cut the body (found by fuzzing).
"""

from __future__ import annotations

import binascii
from typing import Protocol

from python_multipart.exceptions import FormParserError

_BLANKS = b" \t\r\n"


class _Sink(Protocol):
    def write(self, chunk: bytes, /) -> object:
        """Take decoded bytes."""


class Base64Decoder:
    """Decodes into *sink*.  RFC 4648, section 4, with blanks anywhere (RFC 2045, section 6.8).

    Anything else raises FormParserError: what lenient decoders pass over, they do not all pass
    over in the same way.
    """

    def __init__(self, sink: _Sink) -> None:
        """Begin with nothing."""
        self._sink = sink
        self._rest = b""
        self._padded = False

    def write(self, chunk: bytes, /) -> None:
        """Take the next characters."""
        text = self._rest + chunk.translate(None, _BLANKS)
        whole = len(text) // 4 * 4
        self._rest = text[whole:]
        if not whole:
            return
        if self._padded:
            raise FormParserError("base64 goes on after its end")
        try:
            decoded = binascii.a2b_base64(text[:whole], strict_mode=True)
        except binascii.Error as error:
            raise FormParserError("a part is not base64 although it says so") from error
        self._padded = text[whole - 1 : whole] == b"="
        self._sink.write(decoded)

    def finish(self) -> None:
        """Decode what is left at the end of the input."""
        if self._rest:
            raise FormParserError("base64 ends in the middle")

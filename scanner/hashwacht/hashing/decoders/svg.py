"""SVG: the raster pictures that are embedded in a drawing as data URIs.

The drawing is not rendered.  One without embedded pictures is no picture in the sense of the
matchers; several pictures may form another one, so such a file is undetermined as well.

Sources: SVG 2; RFC 2397 (data URIs); RFC 6713 (gzip); the syntax of URLs in CSS Values 4.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

from hashwacht.hashing.content_reader import HEAD
from hashwacht.hashing.decoders import PartlyDecoded

GZIP = b"\x1f\x8b"
MAX_UNPACKED = 64 << 20
_PROBE = 1024
_CHUNK = 1 << 16

_UTF_8, _UTF_16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_WHITE_SPACE = " \t\r\n\ufeff"
_NAME = re.compile(r"<(?:[^\s<>:/]+:)?svg[\s>/]")
_SKIPPED = (("<?", "?>"), ("<!--", "-->"))
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*(\[)?", re.IGNORECASE)
_SUBSET_END = re.compile(r"\]\s*>")

_CSS_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)
_URI_END = re.compile(r"[\"'<>()]")
_DATA_SCHEME = re.compile("data:", re.IGNORECASE)
_LINKS = frozenset({"href", "src"})


def may_be_svg(head: bytes, *, whole: bool = False) -> bool:
    """Return whether the first bytes begin a document whose root element may be ``svg``.

    It may be if a prolog does not end within them, unless they are the *whole* content: a script
    in PHP often is one processing instruction without an end.  This is Python alone: no XML
    parser runs.
    """
    head = head[:HEAD]
    if head.startswith(_UTF_16):
        text = head.decode("utf-16", "ignore")
    elif head.removeprefix(_UTF_8).lstrip()[:1] == b"<":
        text = head.removeprefix(_UTF_8).decode("latin-1")
    else:
        return False
    at = _skip_white_space(text, 0)
    if text[at : at + 1] != "<":
        return False
    while at < len(text):
        if _NAME.match(text, at):
            return True
        end = _prolog_end(text, at)
        if end is None:
            return False
        at = _skip_white_space(text, end)
    return not whole


def _skip_white_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _WHITE_SPACE:
        at += 1
    return at


def _prolog_end(text: str, at: int) -> int | None:
    """Return where a comment, instruction or document type ends; None for anything else."""
    for start, end in _SKIPPED:
        if text.startswith(start, at):
            found = text.find(end, at)
            return len(text) if found < 0 else found + len(end)
    doctype = _DOCTYPE.match(text, at)
    if doctype is None:
        return None
    if doctype[1]:
        subset = _SUBSET_END.search(text, doctype.end())
        return subset.end() if subset else len(text)
    return doctype.end() + 1


def is_packed_svg(head: bytes) -> bool:
    """Return whether gzip-compressed bytes may begin an SVG.  Only for sandboxed processes."""
    if not head.startswith(GZIP):
        return False
    try:
        return may_be_svg(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _PROBE))
    except zlib.error:
        return False


def embedded_pictures(content: bytes) -> Iterator[bytes]:
    """Yield each distinct embedded file once.

    Raises PartlyDecoded for what cannot be judged, ExpatError where a document is damaged.
    """
    if content.startswith(GZIP) and not is_packed_svg(content[:HEAD]):
        return
    known = set[bytes]()
    for uri in _UriReader().read(content):
        embedded = _decode(uri)
        if embedded not in known:
            known.add(embedded)
            yield embedded


def _unpack(content: bytes) -> Iterator[bytes]:
    if not content.startswith(GZIP):
        yield content
        return
    unpacker, size = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
    for at in range(0, len(content), _CHUNK):
        packed = content[at : at + _CHUNK]  # the rest of it is copied at each call
        while packed and not unpacker.eof:
            chunk = unpacker.decompress(packed, _CHUNK)
            size += len(chunk)
            if size > MAX_UNPACKED:
                raise PartlyDecoded(f"more than {MAX_UNPACKED} bytes unpacked")
            yield chunk
            packed = unpacker.unconsumed_tail


class _UriReader:
    """Collects the data URIs in the attributes and texts of an SVG document."""

    def __init__(self) -> None:
        self._uris: list[str] = []
        self._texts: list[str] = []
        self._most_characters = 0
        self._is_svg: bool | None = None
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._texts.append

    def read(self, content: bytes) -> Iterator[str]:
        """Yield the URIs as the document is parsed; none if its root element is another.

        Raises PartlyDecoded if attributes are longer than the document: a default value in its
        type definition counts for every element.
        """
        self._most_characters = MAX_UNPACKED + len(content)
        for chunk in _unpack(content):
            self._parser.Parse(chunk)
            yield from self._taken()
            if self._is_svg is False:
                return
        self._parser.Parse(b"", True)
        yield from self._taken()

    def _taken(self) -> list[str]:
        taken, self._uris = self._uris, []
        return taken

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._is_svg is None:
            self._is_svg = name.rpartition(":")[2] == "svg"
        self._most_characters -= sum(map(len, attributes.values())) + len(attributes)
        if self._most_characters < 0:
            raise PartlyDecoded("attributes longer than the document")
        for attribute, value in attributes.items():
            if attribute.rpartition(":")[2] in _LINKS and value.lstrip()[:5].lower() == "data:":
                self._uris.append(value.strip())
            else:
                self._search(value)
        self._search_texts()

    def _end(self, _: str) -> None:
        self._search_texts()

    def _search_texts(self) -> None:
        if self._texts:
            self._search("".join(self._texts))
            self._texts.clear()

    def _search(self, value: str) -> None:
        """Collect the URIs in a style sheet, or in a document within the document."""
        if "\\" in value:
            value = _CSS_ESCAPE.sub(_unescaped, value)
        if not _DATA_SCHEME.search(value):
            return
        for part in _URI_END.split(value):
            scheme = _DATA_SCHEME.search(part)
            if scheme and "," in part[scheme.end() :]:
                self._uris.append(part[scheme.start() :])


def _unescaped(escape: re.Match[str]) -> str:
    if not escape[1]:
        return "" if escape[2] == "\n" else escape[2]
    code = int(escape[1], 16)
    return chr(code) if code <= 0x10FFFF else ""  # noqa: PLR2004 - the last code point


def _decode(uri: str) -> bytes:
    """Return the bytes of a data URI, as forgiving as a browser."""
    head, _, body = uri.partition(",")
    content = unquote_to_bytes(body)
    if head.rpartition(";")[2].strip().lower() != "base64":
        return content
    alphabet = re.sub(rb"[^A-Za-z0-9+/]", b"", content)
    return base64.b64decode(alphabet[: len(alphabet) - (len(alphabet) % 4 == 1)] + b"==")

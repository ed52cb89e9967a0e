"""Find out whether a content is a form, from its bytes alone: nothing declares that it is one.

c-icap and programs that send the body files of a web server pass on the body of a request as it
came, without its content type.  A client chooses what it sends, so a form is also one with bytes
before its first delimiter, with several delimiters, or without its end: applications read these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hashwacht.multipart.content_type import is_boundary
from hashwacht.multipart.framing import MAX_HEADER_BYTES, MAX_HEADERS, StreamSearch

MAX_BOUNDARIES = 4
"""Different delimiters in one content; a content with more is made up."""

MAX_FIELDS = 4096
"""Parts that are looked at; frameworks accept 1000 fields."""

_PREFIX, _NEEDLE = len(b"content-"), b"disposition"
_BEFORE, _AFTER = MAX_HEADER_BYTES + 512, 1200
"""Bytes around a header that decide about it: up to the delimiter before it, and its value."""

LAST_BYTES = _AFTER
"""Bytes at the end of a content in which its last delimiter is."""

_FIELD = re.compile(
    rb"content[-_]disposition[ \t]*:(?:[^\r\n]|\r?\n[ \t]){0,1024}?"
    rb"(?:form-data|[\s;]name[\s*0-9]*=)",
    re.IGNORECASE,
)
"""The header of a field of a form, or what some parsers take for one.  An attachment of a mail has
no name besides that of its file."""

_HEADER_LINE = re.compile(rb"[!-9;-~]+[ \t]*:|[ \t]")
"""A header of a part, or the continuation of one."""

_LINE_BREAKS = frozenset({b"\n", b"\r"})

MAX_INDENT = 64
"""Blanks before a header, which some parsers remove."""

_FIRST_LINE = re.compile(rb"[\r\n]*--([!-~]{1,200})[ \t]*[\r\n]")


@dataclass(frozen=True, slots=True)
class FoundForm:
    """The *boundaries* of the forms in a content; empty if it contains none.

    *problem* is why it may contain forms that are not found; empty if there is no such reason.
    """

    boundaries: tuple[bytes, ...] = ()
    problem: str = ""

    def __bool__(self) -> bool:
        """Whether the content is a form."""
        return bool(self.boundaries or self.problem)


class FormSearch:
    """Searches one content: ``receive`` its chunks, then ``finish``."""

    def __init__(self) -> None:
        self._frame = _FrameSearch()
        self._boundaries: dict[bytes, None] = {}
        self._problem = ""
        self._fields = 0
        self._kept = b""
        self._examined = 0  # the offset in _kept up to which it is examined
        self._cut = False  # whether bytes before _kept are gone

    def receive(self, chunk: bytes) -> None:
        """Search the next bytes."""
        self._frame.receive(chunk)
        self._search(self._kept + chunk, end=False)

    def finish(self) -> FoundForm:
        """Return what the content is."""
        self._search(self._kept, end=True)
        boundaries = tuple(dict.fromkeys((*self._frame.finish(), *self._boundaries)))
        return FoundForm(boundaries, self._problem)

    def _search(self, content: bytes, *, end: bool) -> None:
        """Examine every header in *content* that is there with all that decides about it."""
        limit = len(content) if end else max(self._examined, len(content) - _AFTER)
        lowered = content.lower()
        at = lowered.find(_NEEDLE, max(self._examined, _PREFIX))
        while 0 <= at < limit and not self._problem:
            self._examine(content, at - _PREFIX)
            at = lowered.find(_NEEDLE, at + 1)
        cut = max(0, limit - _BEFORE)
        self._kept, self._examined = content[cut:], limit - cut
        self._cut = self._cut or cut > 0

    def _examine(self, content: bytes, at: int) -> None:
        """Record the delimiter before the header at *at*, if it is the header of a field."""
        begin = len(content[max(0, at - MAX_INDENT) : at].rstrip(b" \t")) + max(0, at - MAX_INDENT)
        if content[begin - 1 : begin] not in _LINE_BREAKS or not _FIELD.match(content, at):
            return
        self._fields += 1
        delimiter = self._line_before(content, begin)
        if self._fields > MAX_FIELDS or delimiter is None:
            self._problem = "more fields, or longer headers, than any form has"
        elif delimiter.startswith(b"--") and is_boundary(delimiter[2:]):
            self._boundaries[delimiter[2:]] = None
            if len(self._boundaries) > MAX_BOUNDARIES:
                self._problem = "more delimiters than any form has"
        elif b"--" in delimiter:
            self._problem = "a delimiter that parsers find in different places"

    def _line_before(self, content: bytes, at: int) -> bytes | None:
        """Return the line before the headers that end at *at*; None if it is too far away.

        It is empty if the headers follow an empty line, or are the first lines of the content.
        """
        lowest = max(0, at - _BEFORE)
        is_after_empty_line, with_hyphens = False, b""
        for _ in range(MAX_HEADERS + 1):
            end = at - (2 if content[at - 2 : at] == b"\r\n" else 1)
            breaks = content.rfind(b"\n", lowest, end), content.rfind(b"\r", lowest, end)
            begin = 1 + max(breaks)
            if begin == 0 and (lowest or self._cut):
                break
            line = content[begin:end].rstrip(b" \t")
            is_empty = not line
            is_after_empty_line = is_after_empty_line or is_empty
            if line.lstrip().startswith(b"--") or not (is_empty or _HEADER_LINE.match(line)):
                is_delimiter = line.startswith(b"--") and is_boundary(line[2:])
                return with_hyphens if is_after_empty_line and not is_delimiter else line
            if b"--" in line:
                with_hyphens = line  # some parsers find a delimiter behind a header
            if begin == 0:
                return with_hyphens
            at = begin
        return with_hyphens if is_after_empty_line else None


class _FrameSearch:
    """Finds a boundary in the first line of a content whose last delimiter follows."""

    def __init__(self) -> None:
        self._head = b""
        self._boundary: bytes | None = None
        self._closing: StreamSearch | None = None
        self._found = self._decided = False

    def receive(self, chunk: bytes) -> None:
        if self._decided:
            self._find_closing(chunk)
            return
        self._head += chunk
        if len(self._head) >= _AFTER:
            self._decide()

    def finish(self) -> tuple[bytes, ...]:
        if not self._decided:
            self._decide()
        return (self._boundary,) if self._boundary and self._found else ()

    def _decide(self) -> None:
        self._decided = True
        first = _FIRST_LINE.match(self._head[:_AFTER])
        if first is not None and is_boundary(first[1]):
            self._boundary = first[1]
            self._closing = StreamSearch(b"--" + first[1] + b"--")
            self._find_closing(self._head)

    def _find_closing(self, chunk: bytes) -> None:
        if self._closing is None or self._found:
            return
        self._found = self._closing.remainder_after(chunk) is not None
        self._closing.advance(chunk)

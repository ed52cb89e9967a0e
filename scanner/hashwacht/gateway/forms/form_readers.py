"""Readers of the forms that reach a socket server: declared, found, or rebuilt as a mail."""

from __future__ import annotations

from itertools import count

from hashwacht.gateway.forms.form_search import FoundForm
from hashwacht.multipart.body_readers import MalformedReading, SeveralReadings
from hashwacht.multipart.content_type import parse_content_type
from hashwacht.multipart.events import BodyEvent, BodyReader
from hashwacht.multipart.framing import StreamSearch
from hashwacht.multipart.multipart_reader import MultipartReader
from hashwacht.multipart.urlencoded import UrlencodedReader

MAIL_PREFIX = (
    b"To: ClamAV\r\nFrom: SquidClamav\r\nSubject: scan\r\nMIME-Version: 1.0\r\nContent-Type: "
)
"""How the mail begins as which squidclamav, since 7.5, passes on a form."""

_END = b"\r\n\r\n"


def declared_reader(content_type: str) -> BodyReader | None:
    """Return a reader for a content that is declared to be a form, with its boundary; else None."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return UrlencodedReader()
    if kind.startswith("multipart/") and "boundary" in content_type.lower():
        return _multipart_reader(content_type)
    return None


def mail_reader(head: bytes) -> BodyReader | None:
    """Return a reader for squidclamav's mail that begins with *head*; None if it is none.

    Other mails are not read: mail is no upload.
    """
    if not head.startswith(MAIL_PREFIX):
        return None
    end = head.find(_END, len(MAIL_PREFIX))
    if end < 0:
        return MalformedReading("a mail of squidclamav without a body")
    form = _multipart_reader(head[len(MAIL_PREFIX) : end].decode("latin-1"))
    return _MailBody(form, end + len(_END))


def found_reader(found: FoundForm) -> BodyReader:
    """Return a reader for the forms that were found in a content, each from its beginning on."""
    numbers = count()
    readers: list[BodyReader] = [
        _FromDelimiter(boundary, MultipartReader(boundary, charset="utf-8", numbers=numbers))
        for boundary in found.boundaries
    ]
    if found.problem:
        readers.append(MalformedReading(found.problem))
    return SeveralReadings(readers)


def _multipart_reader(content_type: str) -> BodyReader:
    kind = parse_content_type(content_type)
    if isinstance(kind, str):
        return MalformedReading(kind)
    return MultipartReader(kind.boundary, charset=kind.charset)


class _FromDelimiter:
    """A form from its first delimiter on; parsers ignore what is before it."""

    def __init__(self, boundary: bytes, form: BodyReader) -> None:
        self._form, self._delimiter = form, b"--" + boundary
        self._search: StreamSearch | None = StreamSearch(self._delimiter)

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        if self._search is not None:
            rest = self._search.remainder_after(chunk)
            if rest is None:
                self._search.advance(chunk)
                return []
            self._search, chunk = None, self._delimiter + rest
        return self._form.receive(chunk)

    def finish(self) -> list[BodyEvent]:
        return self._form.finish()

    def abandon(self) -> list[BodyEvent]:
        return self._form.abandon()


class _MailBody:
    """The form in a mail of squidclamav, after *skipped* bytes.

    An empty part lacks the line break before the next delimiter: it is inserted.  Nothing else in
    such a mail has an empty line there, except base64, in which line breaks do not count.
    """

    _EMPTY_PART = b"\r\n\r\n--"

    def __init__(self, form: BodyReader, skipped: int) -> None:
        self._form, self._skipped = form, skipped
        self._rest = b""

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        skipped = min(self._skipped, len(chunk))
        self._skipped -= skipped
        complete = self._rest + chunk[skipped:]
        complete = complete.replace(self._EMPTY_PART, b"\r\n" + self._EMPTY_PART)
        kept = len(self._EMPTY_PART) - 1
        self._rest = complete[-kept:]
        return self._form.receive(complete[:-kept])

    def finish(self) -> list[BodyEvent]:
        rest, self._rest = self._rest, b""
        return [*self._form.receive(rest), *self._form.finish()]

    def abandon(self) -> list[BodyEvent]:
        return self._form.abandon()

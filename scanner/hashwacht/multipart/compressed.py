"""Decode a body with Content-Encoding gzip or deflate for another reader."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from hashwacht.core.types import Reason
from hashwacht.multipart.events import BodyEvent, BodyReader, MalformedBody, Unchecked

_STEP = 256 << 10
"""Bytes decoded at a time."""


class CompressedBody:
    """A compressed body: its decoded bytes contain the files.

    It must be one complete stream: decoders disagree about what follows the first one.
    """

    def __init__(self, plain: BodyReader, max_decoded: int) -> None:
        """Pass up to *max_decoded* bytes on to *plain*; more are unchecked."""
        self._plain, self._max_decoded = plain, max_decoded
        self._decoder = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)  # gzip or zlib
        self._decoded = 0
        self._any = self._over = False

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        """Decode the next bytes."""
        self._any = self._any or bool(chunk)
        events: list[BodyEvent] = []
        if self._over:
            return events
        if chunk and self._decoder.eof:
            return self._break("bytes after the compressed body")
        try:
            for piece in self._decode(chunk):
                self._decoded += len(piece)
                if self._decoded > self._max_decoded:
                    self._over = True
                    detail = f"a compressed body of more than {self._max_decoded} bytes"
                    return [*events, *self._plain.abandon(), Unchecked(Reason.OVER_LIMIT, detail)]
                events += self._plain.receive(piece)
        except zlib.error:
            return [*events, *self._break("the body is not compressed as declared")]
        if self._decoder.unused_data:
            events += self._break("bytes after the compressed body")
        return events

    def finish(self) -> list[BodyEvent]:
        """End the body."""
        if self._over or not self._any:
            return []
        if not self._decoder.eof:
            return self._break("a compressed body that is not complete")
        return self._plain.finish()

    def _break(self, detail: str) -> list[BodyEvent]:
        self._over = True
        return [*self._plain.abandon(), MalformedBody(detail)]

    def _decode(self, chunk: bytes) -> Iterator[bytes]:
        """Decode in steps."""
        while chunk and not self._decoder.eof:
            yield self._decoder.decompress(chunk, _STEP)
            chunk = self._decoder.unconsumed_tail

    def abandon(self) -> list[BodyEvent]:
        """Discard the files that are open; the rest of the body is not read."""
        self._over = True
        return self._plain.abandon()

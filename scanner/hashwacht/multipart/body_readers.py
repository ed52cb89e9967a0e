"""Readers of whole bodies: several readings of the same bytes, and a body that no one can read."""

from __future__ import annotations

from collections.abc import Sequence

from hashwacht.multipart.events import BodyEvent, BodyReader, MalformedBody


class SeveralReadings:
    """A body that is read in several ways."""

    def __init__(self, readers: Sequence[BodyReader]) -> None:
        """Pass everything on to all *readers*."""
        self._readers = readers

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        """Return the events of all readings for the next bytes."""
        return [event for reader in self._readers for event in reader.receive(chunk)]

    def finish(self) -> list[BodyEvent]:
        """End the body in all readings."""
        return [event for reader in self._readers for event in reader.finish()]

    def abandon(self) -> list[BodyEvent]:
        """Discard the files that are open in any reading."""
        return [event for reader in self._readers for event in reader.abandon()]


class MalformedReading:
    """A body that cannot be read, which is reported with its first byte."""

    def __init__(self, detail: str) -> None:
        """Report *detail*."""
        self._events: list[BodyEvent] = [MalformedBody(detail)]

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        """Return the report once."""
        events, self._events = (self._events, []) if chunk else ([], self._events)
        return events

    def finish(self) -> list[BodyEvent]:
        """Return nothing: an empty body hides nothing."""
        return []

    def abandon(self) -> list[BodyEvent]:
        """Return nothing: no file is open."""
        return []

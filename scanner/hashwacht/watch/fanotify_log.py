"""The messages of a stream that the scanner has not acknowledged yet, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from hashwacht.core.watch_events import Root
from hashwacht.ipc.codec import ProtocolError, pack_frame

MAX_SIZE = 16 << 20
"""Bytes of messages, beyond which no events are read: about 150,000 announcements."""

MAX_NUMBER = (1 << 32) - 1
"""The number of the last message that a stream can have."""


class LoggedMessage(NamedTuple):
    """A message: the bytes of its frame, and the roots that are in force after it if it names some.

    The roots are None for every other message.
    """

    frame: bytes
    roots: tuple[Root, ...] | None


class MessageLog:
    """Numbers messages, sends them, and keeps them until they are acknowledged.  For one thread.

    *roots* are those in force after the message *acknowledged*.
    """

    def __init__(
        self, roots: Sequence[Root], acknowledged: int = 0, entries: Iterable[LoggedMessage] = ()
    ) -> None:
        """Begin after the message *acknowledged*, with *entries* that follow it."""
        self.roots, self.acknowledged = tuple(roots), acknowledged
        self._sent: deque[LoggedMessage] = deque()
        self._waiting = deque(entries)
        self.size = sum(len(entry.frame) for entry in self._waiting)
        self.last = acknowledged + len(self._waiting)

    @property
    def is_full(self) -> bool:
        """True if no events may be read until more is acknowledged."""
        return self.size >= MAX_SIZE

    @property
    def has_waiting(self) -> bool:
        """True if a message has not been sent yet."""
        return bool(self._waiting)

    def entries(self) -> list[LoggedMessage]:
        """Return all messages that are not acknowledged."""
        return [*self._sent, *self._waiting]

    def append(self, body: bytes, roots: Sequence[Root] | None = None) -> None:
        """Add a message.  Raises OSError after MAX_NUMBER messages: the stream has to end."""
        if self.last == MAX_NUMBER:
            raise OSError("the stream has used all numbers of messages")
        self.last += 1
        frame = pack_frame(self.last, body)
        self._waiting.append(LoggedMessage(frame, None if roots is None else tuple(roots)))
        self.size += len(frame)

    def acknowledge(self, number: int) -> None:
        """Drop all messages up to *number*.  Raises ProtocolError if they were not all sent."""
        for _ in range(number - self.acknowledged):
            if not self._sent:
                raise ProtocolError("an acknowledgement of what was not sent")
            self._drop(self._sent.popleft())

    def rewind(self, number: int) -> bool:
        """Send again what follows the message *number*; return whether all of that is here."""
        if not self.acknowledged <= number <= self.last:
            return False
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        for _ in range(number - self.acknowledged):
            self._drop(self._waiting.popleft())
        return True

    def next_frames(self, size: int) -> Iterator[bytes]:
        """Yield frames to send, until at least *size* bytes were yielded or none is left."""
        while self._waiting and size > 0:
            entry = self._waiting.popleft()
            self._sent.append(entry)
            size -= len(entry.frame)
            yield entry.frame

    def _drop(self, entry: LoggedMessage) -> None:
        self.acknowledged += 1
        self.size -= len(entry.frame)
        if entry.roots is not None:
            self.roots = entry.roots

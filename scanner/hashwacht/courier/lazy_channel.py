"""A service or channel that cannot be used yet: a credential is missing, a file unreadable.

The courier serves the others all the same, says of this one what is wrong, and tries again from
time to time, so that a credential that is stored later counts without a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import Matcher, Query
from hashwacht.core.types import Answer, Diagnostic, Outcome, Reason
from hashwacht.courier.channel import AlertChannel
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply

RETRY_DELAY = 10.0
"""Seconds between two attempts."""


T = TypeVar("T")


class _Lazy(Generic[T]):
    """Builds something as soon as it can be built.  Thread-safe."""

    def __init__(self, build: Callable[[], T], clock: Callable[[], float]) -> None:
        self._build, self._clock = build, clock
        self._lock = threading.Lock()
        self._next = clock()
        self.built: T | None = None
        self.error = HashwachtError("not tried yet")
        self.get()

    def get(self) -> T | None:
        """Give it, or None; *error* then says why."""
        with self._lock:
            if self.built is None and self._clock() >= self._next:
                try:
                    self.built = self._build()
                except HashwachtError as error:
                    self.error, self._next = error, self._clock() + RETRY_DELAY
            return self.built


class LazyMatcher:
    """A matcher that is built as soon as it can be.  Thread-safe."""

    def __init__(
        self,
        name: str,
        accepts: frozenset[str],
        revision: str,
        build: Callable[[], Matcher],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Try at once; what *build* raises is told in the answers.  *clock* gives seconds."""
        self.name, self.accepts, self.revision = name, accepts, revision
        self._lazy = _Lazy(build, clock)

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Ask it, or say why it cannot be asked."""
        if (matcher := self._lazy.get()) is not None:
            return matcher.lookup(questions)
        answer = Answer(
            self.name,
            Outcome.UNDETERMINED,
            time.time(),
            self.revision,
            reason=Reason.UNANSWERED,
            detail=self._lazy.error.message,
        )
        return [answer] * len(questions)

    def check(self) -> Diagnostic:
        """Check it, or say what to do so that it can be asked."""
        if (matcher := self._lazy.get()) is not None:
            return matcher.check()
        error = self._lazy.error
        return Diagnostic(self.name, ok=False, detail=error.message, advice=error.advice)

    def close(self) -> None:
        """Close it."""
        if self._lazy.built is not None:
            self._lazy.built.close()


class LazyChannel:
    """A way that is built as soon as it can be.  Thread-safe."""

    def __init__(
        self, build: Callable[[], AlertChannel], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Try at once; what *build* raises is told whenever something is to be delivered."""
        self._lazy = _Lazy(build, clock)

    def deliver(self, deliver: DeliverRequest) -> DeliverReply | FailureReply:
        """Deliver by it, or say why not."""
        if (way := self._lazy.get()) is not None:
            return way.deliver(deliver)
        return FailureReply(self._lazy.error.message, self._lazy.error.advice)

    def close(self) -> None:
        """Close it."""
        if self._lazy.built is not None:
            self._lazy.built.close()

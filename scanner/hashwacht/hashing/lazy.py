"""A Fingerprinter that is started when it is first needed, for what is rarely needed at all."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from hashwacht.core.errors import WorkerError
from hashwacht.core.ports import Fingerprinter, SupportsPriority
from hashwacht.core.types import Fingerprint


class LazyFingerprinter:
    """Thread-safe, as what it starts."""

    def __init__(self, start: Callable[[], Fingerprinter]) -> None:
        """Start nothing yet."""
        self._start = start
        self._lock = Lock()
        self._started: Fingerprinter | None = None
        self._closed = False

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types it attempts; starts it."""
        return self._now().recipe

    def fingerprint(self, fd: int) -> Fingerprint:
        """Read *fd*.  Raises what the other does, and WorkerError after ``close``."""
        return self._now().fingerprint(fd)

    def fingerprint_upload(self, fd: int) -> Fingerprint:
        """Read what others handed in, as the other does."""
        now = self._now()
        return (
            now.fingerprint_upload(fd) if isinstance(now, SupportsPriority) else now.fingerprint(fd)
        )

    def _now(self) -> Fingerprinter:
        with self._lock:
            if self._closed:
                raise WorkerError("the workers are closed", advice="Start the command again.")
            if self._started is None:
                self._started = self._start()
            return self._started

    def close(self) -> None:
        """Close it if it was started, and never start it again."""
        with self._lock:
            self._closed = True
            if self._started is not None:
                self._started.close()

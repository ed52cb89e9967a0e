"""A fingerprinter that follows the matchers: what they accept later is computed from then on.

A hash list may be installed while a process runs, with a signal type that nothing needed before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Lock

from hashwacht.core.errors import WorkerError
from hashwacht.core.ports import Fingerprinter, StreamHasher, UploadTurn
from hashwacht.core.types import Fingerprint


class ReplanningFingerprinter:
    """Starts another fingerprinter when a further signal type is accepted.  Thread-safe.

    Former ones stay open for the contents that they have begun; there are at most as many as signal
    types.
    """

    def __init__(
        self,
        accepted: Callable[[], frozenset[str]],
        start: Callable[[Collection[str]], Fingerprinter],
    ) -> None:
        """Start the first one.  Raises what *start* raises for the types that it receives.

        *accepted* returns the signal types that the matchers accept now; it is called for every
        content.
        """
        self._accepted, self._start = accepted, start
        self._lock = Lock()
        self._planned = accepted()
        self._started = [start(self._planned)]
        self._closed = False

    def _current(self) -> Fingerprinter:
        accepted = self._accepted()
        if accepted <= self._planned:
            return self._started[-1]
        with self._lock:
            if self._closed:
                raise WorkerError("the workers are closed", advice="Start the command again.")
            if not accepted <= self._planned:
                planned = self._planned | accepted
                self._started.append(self._start(planned))
                self._planned = planned
            return self._started[-1]

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types that are attempted now.  Raises WorkerError."""
        return self._current().recipe

    @property
    def layers(self) -> Mapping[str, str]:
        """The sandbox layers, which are the same for all."""
        return self._started[-1].layers

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        """Return the fingerprint of *fd*.  Raises OSError, WorkerError."""
        return self._current().fingerprint(fd, upload=upload)

    def fingerprint_small(self, fds: Sequence[int]) -> Sequence[Fingerprint | None]:
        """Return the fingerprints of small contents that need digests only, None for others.

        Raises WorkerError.
        """
        return self._current().fingerprint_small(fds)

    def open_stream(self) -> StreamHasher | None:
        """Return a hasher for a content that is still arriving, None if there is none."""
        return self._current().open_stream()

    def close(self) -> None:
        """Close all of them; none is started afterwards."""
        with self._lock:
            self._closed = True
            for fingerprinter in self._started:
                fingerprinter.close()

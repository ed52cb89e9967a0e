"""A fingerprinter that hashes quickly, and exactly where a quick hash could change the verdict.

A quick picture hash is computed from less than the whole picture and may be a few bits off
(:data:`hashwacht.core.types.QUICK_ERROR_BITS`).  Only a content whose quick hash is near an entry
of a local list is read and hashed a second time, so verdicts never depend on quick hashes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Lock

from hashwacht.core.errors import WorkerError
from hashwacht.core.ports import Fingerprinter, StreamHasher, UploadTurn
from hashwacht.core.types import Fingerprint, Reason, Skip


class QuickThenExact:
    """Combines a quick fingerprinter with an exact one.  Thread-safe, as both of them are."""

    def __init__(
        self,
        quick: Fingerprinter,
        start_exact: Callable[[], Fingerprinter],
        needs_exact_hash: Callable[[Fingerprint], bool],
    ) -> None:
        """*start_exact* is called when the first content needs an exact hash: few runs do."""
        self._quick, self._start_exact = quick, start_exact
        self._needs_exact_hash = needs_exact_hash
        self._exact: Fingerprinter | None = None
        self._lock = Lock()
        self._closed = False

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types of the quick fingerprinter: what every content has."""
        return self._quick.recipe

    @property
    def layers(self) -> Mapping[str, str]:
        """The sandbox layers of the quick fingerprinter; the exact one has the same."""
        return self._quick.layers

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        """Return the quick fingerprint of *fd*, or the exact one where that can matter.

        Raises OSError, WorkerError.
        """
        return self.refine(self._quick.fingerprint(fd, upload=upload), fd, upload=upload)

    def fingerprint_small(self, fds: Sequence[int]) -> Sequence[Fingerprint | None]:
        """Return the fingerprints of small contents that have no picture hashes, None for others.

        Raises WorkerError.
        """
        return self._quick.fingerprint_small(fds)

    def refine(
        self, quick: Fingerprint, fd: int, *, upload: UploadTurn | None = None
    ) -> Fingerprint:
        """Return *quick*, or the exact fingerprint of *fd* if *quick* is near a list's entry.

        The recipe of an exact fingerprint includes the quick one, which it replaces.  A picture too
        large for exact hashes is undetermined if it is that near.
        """
        if not self._needs_exact_hash(quick):
            return quick
        os.lseek(fd, 0, os.SEEK_SET)
        exact = self._started_exact().fingerprint(fd, upload=upload)
        if self._needs_exact_hash(exact):
            exact = replace(exact, skipped=(*exact.skipped, *_close_calls(exact)))
        return replace(exact, recipe=tuple(dict.fromkeys((*exact.recipe, *quick.recipe))))

    def open_stream(self) -> StreamHasher | None:
        """Return a hasher for a content that is still arriving, None if *quick* has none."""
        stream = self._quick.open_stream()
        return None if stream is None else _QuickThenExactStream(stream, self)

    def _started_exact(self) -> Fingerprinter:
        with self._lock:
            if self._closed:
                raise WorkerError("the workers are closed", advice="Start the command again.")
            if self._exact is None:
                self._exact = self._start_exact()
            return self._exact

    def close(self) -> None:
        """Close both; the exact one is not started afterwards."""
        self._quick.close()
        with self._lock:
            self._closed = True
            if self._exact is not None:
                self._exact.close()


def _close_calls(exact: Fingerprint) -> Iterator[Skip]:
    for name in dict.fromkeys(signal.type for signal in exact.signals if signal.error_bits):
        detail = "too large for an exact hash, and near an entry of a hash list"
        yield Skip(name, Reason.OVER_LIMIT, detail)


class _QuickThenExactStream:
    def __init__(self, stream: StreamHasher, both: QuickThenExact) -> None:
        self._stream, self._both = stream, both
        self.update, self.finish = stream.update, stream.finish

    def fingerprint(self, kept: int | None, *, upload: UploadTurn) -> Fingerprint:
        result = self._stream.fingerprint(kept, upload=upload)
        return result if kept is None else self._both.refine(result, kept, upload=upload)

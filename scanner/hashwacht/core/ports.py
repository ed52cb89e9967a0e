"""The ports: interfaces between packages, so that they need not import each other.

Implementations are in ``hashing/``, ``matching/`` and operators' packages; contract suites for them
are in :mod:`hashwacht.testing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hashwacht.core.types import Answer, Diagnostic, Fingerprint, Reason, Signal

Query = tuple[Signal, ...]
"""The askable signals of one content that one matcher accepts; never empty."""


class SignalType(Protocol):
    """A kind of hash: its name, its canonical form, and how two values compare.

    It is found by an entry point in the group ``hashwacht.signal_types`` and used only if the
    configuration or a matcher names it.  Computing it is a separate capability: see
    :mod:`hashwacht.hashing.registry`.
    """

    @property
    def name(self) -> str:
        """Lower-case ``[a-z0-9_]+``, as in lists, in storage and in requests to services."""

    @property
    def version(self) -> int:
        """Increased when the same content may have another value than before."""

    @property
    def bits(self) -> int:
        """Length of a value in bits: 256 for pdq, 128 for md5."""

    @property
    def perceptual(self) -> bool:
        """True if values are compared by Hamming distance, False if only equality counts."""

    def canonical(self, value: str) -> str:
        """Return a value in its canonical form.  Raises SignalError if it is malformed."""

    def distance(self, one: str, other: str) -> int:
        """Return in how many bits two canonical values differ; indexes may be faster."""

    def examples(self) -> Sequence[tuple[str, str]]:
        """Return pairs of (value as a list may contain it, its canonical form)."""


@runtime_checkable
class Matcher(Protocol):
    """Something that answers for signals: a service, or the local hash lists.

    Thread-safe.  A fault of the service is an answer (UNDETERMINED with a reason), never an
    exception; only a mistake of the caller raises.
    """

    @property
    def name(self) -> str:
        """Its name in the configuration, in answers and in storage."""

    @property
    def accepts(self) -> frozenset[str]:
        """The signal types it can answer for."""

    @property
    def revision(self) -> str:
        """The version of its knowledge; differs whenever an old NO_MATCH may no longer hold."""

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Answer every question, in order.  Any number of questions, bounded memory."""

    def check(self) -> Diagnostic:
        """Return the result of one harmless lookup, for ``hashwacht doctor``."""

    def close(self) -> None:
        """Close connections and files.  Further calls are mistakes."""


@runtime_checkable
class QuickHashMatcher(Protocol):
    """A matcher that handles quick signals, because it knows its own radius.

    Where the error of a quick signal could change the answer, it returns UNDETERMINED
    (close-call), and ``needs_exact_hash`` predicts that.
    """

    def needs_exact_hash(self, question: Sequence[Signal]) -> bool:
        """Return whether any quick signal may be near an entry, so that its error matters."""


@runtime_checkable
class ListMatcher(Protocol):
    """A matcher whose answers rest on lists, which need not contain every type it accepts."""

    @property
    def listed_types(self) -> frozenset[str]:
        """The signal types of which it has entries that match."""


@dataclass(frozen=True, slots=True)
class UploadTurn:
    """How an upload waits for the workers.

    *client* is its sender: clients take turns.  *decides* is called with the digests, before
    anything is decoded; if it returns True the fingerprint has nothing but digests.  Without
    *decodes* nothing is decoded at all, and what is missing is OVERLOADED.
    """

    client: str = ""
    decides: Callable[[Fingerprint], bool] = lambda _: False
    decodes: bool = True


class StreamHasher(Protocol):
    """Hashes a content that is still arriving.  For one thread at a time."""

    def update(self, chunk: bytes) -> bool | None:
        """Hash the next bytes; return whether to keep all bytes so far, None if not known yet."""

    def finish(self) -> bool:
        """End the content; return whether to keep its bytes until ``fingerprint`` returns."""

    def fingerprint(self, kept: int | None, *, upload: UploadTurn) -> Fingerprint:
        """Return what a :class:`Fingerprinter` would; *kept* is the file if it was to be kept.

        Raises OSError, WorkerError.
        """


class Fingerprinter(Protocol):
    """Turns an open file into a fingerprint, in worker processes or in this one.

    Thread-safe: any number of threads may call at once.
    """

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types it attempts, each with its version: ``("md5/1", "pdq/1")``.

        If it decodes pictures, also ``decoders/...``: what it can decode.
        """

    @property
    def layers(self) -> Mapping[str, str]:
        """The sandbox layers around the decoders: why each is not active, "" if it is.

        Empty if the decoders run in this process.  Raises WorkerError.
        """

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        """Read *fd* (open for reading, at offset 0) to its end, once.

        Contents that were uploaded and those that this process found get workers in turn, so that
        neither waits for all of the other.  Raises OSError if the file system refuses.  Everything
        else (damage, limits, a dead worker) is part of the fingerprint.
        """

    def fingerprint_small(self, fds: Sequence[int]) -> Sequence[Fingerprint | None]:
        """Return the fingerprints of those of many small contents that need digests only.

        None for every other one: pass it to ``fingerprint``, which also says why it cannot be read.
        The contents are open for reading; their offsets do not matter.
        """

    def open_stream(self) -> StreamHasher | None:
        """Return a hasher for a content that is still arriving, None if it must be complete."""

    def close(self) -> None:
        """Stop the worker processes."""


MAX_CRASHES = 2
"""Crashes of workers after which a content is blocked: the first may have had another cause."""


class CrashLog(Protocol):
    """Records contents that crashed the workers that decoded them.  Thread-safe.

    *key* is the SHA-256 of the content.
    """

    def set_decoder(self, decoder: str) -> None:
        """Set which decoder runs from now on; crashes of other decoders do not count.

        *decoder* names everything that decides whether a crash would happen again.
        """

    def block_reason(self, key: str) -> Reason | None:
        """Return why a content must not be decoded again, None if it may be."""

    def record_crash(self, key: str, reason: Reason) -> None:
        """Record one crash of a content."""

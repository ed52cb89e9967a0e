"""The ports: what the rooms expect of one another, so that none has to import another.

Implementations live in ``fingerprint/``, ``match/`` and in operators' own packages; contract
suites for them in :mod:`hashwacht.testing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from hashwacht.core.types import Answer, Diagnostic, Fingerprint, Reason, Signal

Query = tuple[Signal, ...]
"""The askable signals of one content that one matcher accepts; never empty."""


class SignalType(Protocol):
    """A kind of hash: its name, its canonical form, and how two values compare.

    Found by entry point in the group ``hashwacht.core.signals``, used only if the
    configuration or a matcher names it.  What computes it is a capability on top of this
    one: see :mod:`hashwacht.hashing.registry`.
    """

    @property
    def name(self) -> str:
        """Lower-case ``[a-z0-9_]+``, as written in lists, in the state and to services."""

    @property
    def version(self) -> int:
        """Raised when the same content may give another value than before."""

    @property
    def bits(self) -> int:
        """Length of a value in bits: 256 for pdq, 128 for md5."""

    @property
    def perceptual(self) -> bool:
        """True if values are compared by Hamming distance, False if only equality counts."""

    def canonical(self, value: str) -> str:
        """Bring a value into its one written form.  Raises SignalError if it is none."""

    def distance(self, one: str, other: str) -> int:
        """Bits in which two canonical values differ.  The reference; indexes may be faster."""

    def examples(self) -> Sequence[tuple[str, str]]:
        """Pairs of (value as somebody may write it, its canonical form)."""


@runtime_checkable
class Matcher(Protocol):
    """Something that answers for signals: a service, or the local hash lists.

    Thread-safe.  A fault of the far side is an answer (UNDETERMINED with a reason), never an
    exception; only a mistake of the caller raises.
    """

    @property
    def name(self) -> str:
        """The name the configuration gives it, as it stands in answers and in the state."""

    @property
    def accepts(self) -> frozenset[str]:
        """The signal types it can answer for."""

    @property
    def revision(self) -> str:
        """Its state of knowledge; differs whenever an old NO_MATCH may no longer hold."""

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Answer every question, in order.  Any number of questions, bounded memory."""

    def check(self) -> Diagnostic:
        """Ask one harmless question and say how that went, for ``hashwacht doctor``."""

    def close(self) -> None:
        """Give back connections and files.  Further calls are mistakes."""


@runtime_checkable
class QuickHashMatcher(Protocol):
    """What a matcher can do on top that knows itself how near is near enough.

    It never says NO_MATCH to a quick signal that an entry may be near enough to, nor MATCH if
    it may not: it says UNDETERMINED (close-call), and tells beforehand who that would happen to.
    """

    def needs_exact_hash(self, question: Sequence[Signal]) -> bool:
        """Say if any quick signal is, or may be, near an entry: its exact value is needed."""


class Fingerprinter(Protocol):
    """Turns an open file into a fingerprint, in a worker process or in this one.

    Thread-safe: any number of threads may call at once.
    """

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types it attempts, each with its version: ``("md5/1", "pdq/1")``."""

    def fingerprint(self, fd: int) -> Fingerprint:
        """Read *fd* (open for reading, at offset 0) to its end, once.

        Raises OSError if the file system refuses.  Everything else (damage, limits, a dead
        worker) is part of the fingerprint.
        """

    def close(self) -> None:
        """End the worker processes."""


class StreamHasher(Protocol):
    """A content that is still coming in.  For one thread at a time."""

    def update(self, chunk: bytes) -> bool | None:
        """Take the next bytes; say if all bytes so far are to be kept, None: not known yet."""

    def finish(self) -> bool:
        """Say that this was all; tell if it is to be kept until there is a fingerprint."""

    def fingerprint(self, kept: int | None) -> Fingerprint:
        """Give what :class:`Fingerprinter` would; *kept* is the file, if it was to be kept.

        Raises OSError.
        """


@runtime_checkable
class SupportsStreaming(Protocol):
    """What a Fingerprinter can do on top that may begin before a content is complete."""

    def open_stream(self) -> StreamHasher | None:
        """Begin with a content; None if it can only be read when it is complete."""


@runtime_checkable
class SupportsPriority(Protocol):
    """What a Fingerprinter can do on top that lets no one's contents starve another's."""

    def fingerprint_upload(self, fd: int) -> Fingerprint:
        """As ``fingerprint``, for what another process handed to this one."""


MAX_CRASHES = 2
"""Times that a content may end a worker: the first one may have been somebody else's fault."""


class CrashLog(Protocol):
    """Remembers contents that ended the workers that decoded them.  Thread-safe.

    *key* is the SHA-256 of the content.
    """

    def set_decoder(self, decoder: str) -> None:
        """Say which decoder is at work from now on: with another one, a content is innocent.

        *decoder* names everything that decides if the same would happen again.
        """

    def block_reason(self, key: str) -> Reason | None:
        """Say what it did if it did it so often that it is not to be tried again."""

    def record_crash(self, key: str, reason: Reason) -> None:
        """Note that it did it, once more."""

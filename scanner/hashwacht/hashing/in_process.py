"""The fingerprint of a content, computed in this process.

One read feeds all digests, one decode all picture hashes.  The worker processes wrap
:class:`InProcessFingerprinter`; tests and web applications may use it directly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from hashwacht.core.errors import SignalError
from hashwacht.core.ports import SignalType, UploadTurn
from hashwacht.core.text import replace_unprintable
from hashwacht.core.types import (
    CONTENT_KEY_TYPE,
    QUICK,
    QUICK_ERROR_BITS,
    Fingerprint,
    Reason,
    Signal,
    Skip,
)
from hashwacht.core.views import VIEWED_TYPE, join_variant
from hashwacht.hashing import Plan
from hashwacht.hashing.content_reader import ContentInfo, read
from hashwacht.hashing.decode import Clock
from hashwacht.hashing.embedded import EncodedFiles, Stills, open_stills
from hashwacht.hashing.formats import PictureFormat, decoders_entry, detect_format
from hashwacht.hashing.registry import (
    Digest,
    DigestState,
    EncodedPictureHash,
    Hasher,
    PictureHash,
    hashers,
)
from hashwacht.hashing.sniff import lacks_decoder, sniff
from hashwacht.hashing.views import view_recipe, view_signals
from hashwacht.platform.process import libc

_MAX_VARIANT_CHARS = 64
_MAX_DETAIL_CHARS = 200
_PER_CENT = range(101)


class FingerprintBuilder:
    """Collects the signals of one content, and why others are missing.

    Operators' hashers may raise or return anything; only valid signals are kept.
    """

    def __init__(self) -> None:
        self._signals: dict[tuple[str, str], Signal] = {}
        self._skips: dict[tuple[str, Reason], Skip] = {}

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Each value of a type once, with the first variant that had it and may be looked up."""
        return tuple(self._signals.values())

    @property
    def skipped(self) -> tuple[Skip, ...]:
        """Each reason of a type once."""
        return tuple(self._skips.values())

    def run_hasher(
        self,
        hasher: Hasher,
        compute: Callable[[], Sequence[Signal]],
        frame: str = "",
        *,
        may_be_empty: bool = False,
    ) -> None:
        """Call *compute* and keep its signals if all of them are valid, else skip the type.

        Without *may_be_empty* it has to return a signal.
        """
        try:
            signals = _check_signals(hasher, compute(), frame, may_be_empty=may_be_empty)
        except MemoryError:
            self.skip(hasher, Reason.OVER_LIMIT, "more memory than a worker may use")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an operator's code raises anything
            self.skip(hasher, Reason.HASHER_FAILED, f"{type(error).__name__}: {error}")
        else:
            for signal in signals:
                known = self._signals.setdefault((signal.type, signal.value), signal)
                if signal.matchable and not known.matchable:
                    self._signals[signal.type, signal.value] = signal

    def add_digests(self, digests: Iterable[Digest], running: RunningDigests, key: str) -> None:
        """Add the values of all digests; *key* is that of the content key type."""
        for digest in digests:
            guarded = running.get(digest.name)
            self.run_hasher(digest, guarded.signals if guarded else [Signal(digest.name, key)].copy)

    def skip(self, hasher: SignalType, reason: Reason, detail: str = "") -> None:
        """Record why a type is missing or incomplete; *detail* may quote hostile bytes."""
        printable = replace_unprintable(detail[:_MAX_DETAIL_CHARS]).strip()
        self._skips.setdefault((hasher.name, reason), Skip(hasher.name, reason, printable))

    def skip_all(self, types: Iterable[SignalType], reason: Reason, detail: str = "") -> None:
        """Record the same reason for several types."""
        for signal_type in types:
            self.skip(signal_type, reason, detail)


class GuardedDigest:
    """A digest in progress that raises only when its value is requested."""

    def __init__(self, digest: Digest) -> None:
        self.digest = digest
        self._error: BaseException | None = None
        self._state: DigestState | None = None
        try:
            self._state = digest.new()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an operator's code raises anything
            self._error = error

    def update(self, chunk: bytes, /) -> None:
        """Hash the next bytes, unless an earlier call failed."""
        if self._state is None or self._error is not None:
            return
        try:
            self._state.update(chunk)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an operator's code raises anything
            self._error = error

    def signals(self) -> list[Signal]:
        """Return the signal.  Raises what the digest raised earlier."""
        if self._error is not None:
            raise self._error
        assert self._state is not None
        return [Signal(self.digest.name, self._state.hexdigest())]


RunningDigests = Mapping[str, GuardedDigest]
"""The digests in progress of one content, by name."""


def start_digests(digests: Iterable[Digest]) -> RunningDigests:
    """Return new states of all digests but the content key, which every read computes anyway."""
    return {d.name: GuardedDigest(d) for d in digests if d.name != CONTENT_KEY_TYPE}


def may_be_picture(head: bytes, *, uses_encoded: bool) -> bool:
    """Return whether any picture hash can be computed of a content with these first bytes.

    *uses_encoded*: there are hashers with a decoder of their own.
    """
    return bool(detect_format(head)) or (uses_encoded and lacks_decoder(sniff(head, b"")))


def is_other_kind(picture_format: PictureFormat | None, kind: str, *, decoding: bool) -> bool:
    """Return whether a content is no picture, so that there is nothing to be decoded.

    *decoding*: whether formats that the first bytes do not prove will be decoded.
    """
    if picture_format is None:
        return not lacks_decoder(kind)
    return not (decoding or picture_format.certain)


def _check_signals(
    hasher: Hasher, signals: Sequence[object], frame: str, *, may_be_empty: bool
) -> list[Signal]:
    """Return the signals in canonical form.  Raises SignalError if any is bad or missing."""
    checked = [_check_signal(hasher, signal, frame) for signal in signals]
    if not checked and not may_be_empty:
        raise SignalError("returned no signal")
    return checked


def _check_signal(hasher: Hasher, signal: object, frame: str) -> Signal:
    if not isinstance(signal, Signal) or signal.type != hasher.name:
        raise SignalError(f"returned {signal!r}, not a signal of its type")
    quality: object = signal.quality
    variant: object = signal.variant
    if quality is not None and not (type(quality) is int and quality in _PER_CENT):
        raise SignalError(f"returned the quality {quality!r}, not a number from 0 to 100")
    if not isinstance(variant, str) or len(variant) > _MAX_VARIANT_CHARS:
        raise SignalError(f"returned {variant!r} as the name of a variant")
    value: object = hasher.canonical(signal.value)
    if not isinstance(value, str):
        raise SignalError(f"returned {value!r} as a canonical form")
    return Signal(hasher.name, value, signal.quality, join_variant(frame, variant))


class InProcessFingerprinter:
    """A ``Fingerprinter`` without worker processes.  Thread-safe.

    A type that cannot be computed for a content is a skip in its fingerprint, whatever an
    operator's hasher or a hostile file does.
    """

    def __init__(self, plan: Plan, *, clock: Clock = time.monotonic) -> None:
        """Load the hashers of the plan's types.  Raises ConfigurationError if one is unknown."""
        retain_freed_memory()
        self._plan, self._clock = plan, clock
        planned = hashers(plan)
        self._digests = [hasher for hasher in planned if isinstance(hasher, Digest)]
        self._picture_hashes = [hasher for hasher in planned if isinstance(hasher, PictureHash)]
        self._encoded_hashes = [
            hasher for hasher in planned if isinstance(hasher, EncodedPictureHash)
        ]
        self._viewed_hashes = [
            hasher for hasher in self._picture_hashes if hasher.name == VIEWED_TYPE and plan.views
        ]
        self.recipe = (
            *(_recipe_entry(hasher, plan) for hasher in planned),
            *(entry for hasher in self._viewed_hashes for entry in view_recipe(hasher, plan.views)),
            *([decoders_entry()] if self._picture_hashes else []),
        )

    @property
    def layers(self) -> Mapping[str, str]:
        """Empty: there is no sandbox."""
        return {}

    def open_stream(self) -> None:
        """Return no stream: a content must be complete."""

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:  # noqa: ARG002 - no workers to wait for
        """Read *fd* to its end, once.  Raises OSError if the file system refuses; nothing else."""
        running = start_digests(self._digests)
        at_most = self._plan.limits.max_picture_size
        content = read(fd, running.values(), keep=self._needs_bytes, at_most=at_most)
        builder = FingerprintBuilder()
        builder.add_digests(self._digests, running, content.key)
        kind = sniff(content.head, content.tail)
        damaged = self._hash_picture(content, kind, builder)
        signals, skipped = builder.signals, builder.skipped
        key, size = content.key, content.size
        return Fingerprint(key, size, kind, self.recipe, signals, skipped, damaged)

    def fingerprint_small(self, fds: Sequence[int]) -> list[Fingerprint | None]:
        """Return none: without workers there is no request to share."""
        return [None] * len(fds)

    def close(self) -> None:
        """Do nothing: there are no workers."""

    def _needs_bytes(self, head: bytes) -> bool:
        hashes = self._picture_hashes or self._encoded_hashes
        return bool(hashes) and may_be_picture(head, uses_encoded=bool(self._encoded_hashes))

    def _hash_picture(self, content: ContentInfo, kind: str, builder: FingerprintBuilder) -> bool:
        """Add the picture hashes, or why there are none; return whether it is damaged."""
        picture_format = detect_format(content.head)
        perceptual: tuple[SignalType, ...] = (*self._picture_hashes, *self._encoded_hashes)
        too_large = content.size > self._plan.limits.max_picture_size
        if is_other_kind(picture_format, kind, decoding=not too_large):
            builder.skip_all(perceptual, Reason.OTHER_KIND)
            return False
        if too_large:
            builder.skip_all(perceptual, Reason.OVER_LIMIT, f"{content.size} bytes")
            return False
        if content.original is not None and self._encoded_hashes:
            most = self._plan.limits.max_frames
            files = EncodedFiles(content.original, picture_format, kind, most)
            self._hash_encoded(files, builder)
        if picture_format is None or not picture_format.decodable:
            builder.skip_all(self._picture_hashes, Reason.NO_DECODER, kind)
        elif self._picture_hashes and content.original is not None:
            stills = open_stills(content.original, picture_format, self._plan, self._clock)
            return self._hash_stills(stills, builder)
        return False

    def _hash_encoded(self, files: EncodedFiles, builder: FingerprintBuilder) -> None:
        """Pass files to the hashers that have decoders of their own."""
        for name, original, kind in files:
            for hasher in self._encoded_hashes:
                builder.run_hasher(hasher, partial(hasher.signals_from_bytes, original, kind), name)
        if files.fault is not None:
            builder.skip_all(self._encoded_hashes, files.fault.reason, files.fault.detail)

    def _hash_stills(self, stills: Stills, builder: FingerprintBuilder) -> bool:
        for frame, picture in stills:
            for hasher in self._picture_hashes:
                builder.run_hasher(hasher, partial(hasher.signals, picture), frame)
            for hasher in self._viewed_hashes:
                views = partial(view_signals, picture)
                builder.run_hasher(hasher, views, frame, may_be_empty=True)
        if stills.fault is not None:
            builder.skip_all(self._picture_hashes, stills.fault.reason, stills.fault.detail)
        return stills.damaged


def _recipe_entry(hasher: SignalType, plan: Plan) -> str:
    quick = plan.quick and hasher.name in QUICK_ERROR_BITS
    return f"{hasher.name}/{hasher.version}" + f"/{QUICK}" * quick


def retain_freed_memory() -> None:
    """Make glibc keep up to 4 MiB that were freed instead of returning every picture's pixels.

    The kernel hands memory out in pages, and clears each of them at its first use: measured
    0.25 to 4 us a page, up to a third of the time of a picture of 640x480.  glibc maps blocks of
    128 KiB and more separately, and trims its heap at twice that, but raises both thresholds to
    the size of the largest mapped block (up to 32 MiB) that was ever freed (mallopt(3),
    M_MMAP_THRESHOLD).  Decoding any larger picture has the same effect.  Other C libraries are
    not affected.
    """
    bytearray(2 << 20)  # twice as much may remain with the process


def trim_memory() -> None:
    """Return all freed memory to the kernel, where the C library can (malloc_trim(3))."""
    with suppress(AttributeError):
        libc().malloc_trim(0)

"""Fingerprints in this very process: one read, all digests; one decode, all perceptual signals.

The worker processes wrap this class; a web application or a test may use it as it is.

How much freed memory the C library keeps for the next picture.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from hashwacht.core.ports import SignalType
from hashwacht.core.types import (
    CONTENT_KEY_TYPE,
    QUICK,
    QUICK_ERROR_BITS,
    Fingerprint,
    Reason,
    Signal,
)
from hashwacht.hashing.builder import FingerprintBuilder, GuardedDigest
from hashwacht.hashing.formats import detect_format
from hashwacht.hashing.plan import Plan
from hashwacht.hashing.reader import ContentInfo, read
from hashwacht.hashing.registry import Digest, EncodedPictureHash, PictureHash, hashers
from hashwacht.hashing.sniff import lacks_decoder, sniff
from hashwacht.hashing.stills import Clock, FrameIterator

_LEARNT = 2 << 20
"""Bytes of the block.  Twice as much may stay with the process."""


def retain_freed_memory() -> None:
    """Let glibc keep up to 4 MiB that were freed, instead of giving back every picture's pixels.

    The kernel hands memory out in pages, and clears each of them at its first touch: measured
    0.25 to 4 us a page, up to a third of the time of a picture of 640x480.  glibc maps blocks
    from 128 KiB on by themselves, and trims its heap at twice that, until it learns better: by
    the size of the largest mapped block (up to 32 MiB) that was ever freed (mallopt(3),
    M_MMAP_THRESHOLD).  Decoding any larger picture has the same effect.  Other C libraries do
    not mind.
    """
    bytearray(_LEARNT)


def trim_memory() -> None:
    """Give all of it back now, where the C library can (malloc_trim(3))."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


TURNED = "pdq_turned/1"
"""In a recipe: the seven other orientations of PDQ were attempted as well."""


class InProcessFingerprinter:
    """A ``Fingerprinter``.  Thread-safe: a call keeps to itself what it has.

    A type that cannot be computed for a content is a skip in its fingerprint, whatever an
    operator's hasher or a hostile file does.
    """

    def __init__(self, plan: Plan, *, clock: Clock = time.monotonic) -> None:
        """Find what computes the plan's types.  Raises ConfigurationError if one is unknown."""
        retain_freed_memory()
        self._plan = plan
        self._clock = clock
        found = hashers(plan)
        self._digests = [each for each in found if isinstance(each, Digest)]
        self._pictures = [each for each in found if isinstance(each, PictureHash)]
        self._originals = [each for each in found if isinstance(each, EncodedPictureHash)]
        turned = (TURNED,) if plan.orientations and "pdq" in plan.types else ()
        self.recipe = (*(_attempt(each, plan) for each in found), *turned)

    @property
    def layers(self) -> Mapping[str, str]:
        """Empty: there is no sandbox."""
        return {}

    def open_stream(self) -> None:
        """Return no stream: a content must be complete."""

    def fingerprint(self, fd: int, *, upload: bool = False) -> Fingerprint:  # noqa: ARG002 - no workers to wait for
        """Read *fd* to its end, once.  Raises OSError if the file system refuses; nothing else."""
        running = {d.name: GuardedDigest(d) for d in self._digests if d.name != CONTENT_KEY_TYPE}
        content = read(
            fd, running.values(), keep=self._keep, at_most=self._plan.limits.max_picture_size
        )
        account = FingerprintBuilder()
        for digest in self._digests:
            made = running.get(digest.name)
            key = Signal(CONTENT_KEY_TYPE, content.key)
            account.run_hasher(digest, made.signals if made else lambda: [key])  # noqa: B023 - called now
        kind = sniff(content.head, content.tail)
        damaged = self._hash_picture(content, kind, account)
        return Fingerprint(
            key=content.key,
            size=content.size,
            kind=kind,
            recipe=self.recipe,
            signals=account.signals,
            skipped=account.skipped,
            damaged=damaged,
        )

    def close(self) -> None:
        """There is nothing to give back."""

    def _keep(self, head: bytes) -> bool:
        """Tell from the first bytes if somebody here will want them all."""
        if self._originals and lacks_decoder(sniff(head, b"")):
            return True
        return bool(self._pictures) and detect_format(head) is not None

    def _hash_picture(self, content: ContentInfo, kind: str, account: FingerprintBuilder) -> bool:
        """Add the perceptual signals, or why there are none.  True if the picture is damaged."""
        form = detect_format(content.head)
        perceptual: tuple[SignalType, ...] = (*self._pictures, *self._originals)
        if form is None and not lacks_decoder(kind):
            account.skip_all(perceptual, Reason.OTHER_KIND)
            return False
        if content.size > self._plan.limits.max_picture_size:
            account.skip_all(perceptual, Reason.OVER_LIMIT, f"{content.size} bytes")
            return False
        if content.original is not None:
            for each in self._originals:
                account.run_hasher(
                    each, partial(each.signals_from_bytes, content.original.read(), kind)
                )
        if form is None or form.opener is None:
            account.skip_all(self._pictures, Reason.NO_DECODER, kind)
        elif self._pictures and content.original is not None:
            return self._look(
                FrameIterator(content.original, form, self._plan, self._clock), account
            )
        return False

    def _look(self, stills: FrameIterator, account: FingerprintBuilder) -> bool:
        """Hash every distinct still.  True if the picture is damaged."""
        for frame, picture in stills:
            for each in self._pictures:
                account.run_hasher(each, partial(each.signals, picture), frame)
        if stills.fault is not None:
            account.skip_all(self._pictures, stills.fault.reason, stills.fault.detail)
        return stills.damaged


def _attempt(hasher: SignalType, plan: Plan) -> str:
    """Name what is attempted in a recipe; quick is another attempt than exact."""
    quick = plan.quick and hasher.name in QUICK_ERROR_BITS
    return f"{hasher.name}/{hasher.version}" + f"/{QUICK}" * quick

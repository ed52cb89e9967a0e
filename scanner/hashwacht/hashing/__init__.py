"""From an open file to its fingerprint: one read, one decode.

:mod:`~hashwacht.hashing.in_process` is the path; :mod:`~hashwacht.hashing.workers` runs it in
sandboxed processes.  What to compute, and how much it may cost, is a :class:`Plan`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hashwacht.core.views import ViewKind

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """The budget of one content.  Beyond it only the digests remain, the rest is undetermined.

    *max_decoded_memory* is checked before decoding: without it, files of a few kilobytes take
    gigabytes (measured).  A JPEG is decoded smaller instead; only the coefficients of a progressive
    one count.  *max_decoded_pixels* bounds the time: a pixel counts again in every scan of a JPEG.
    *timeout* is the wall-clock time of one content in seconds, *max_memory*
    the address space that a worker may add to that of an idle one.  *max_read_time* is that of
    reading a large file, in seconds.
    """

    max_decoded_memory: int = 448 * MIB
    max_decoded_pixels: int = 1_200_000_000
    max_frames: int = 256
    max_picture_size: int = 64 * MIB
    timeout: float = 30.0
    max_memory: int = 1024 * MIB
    max_read_time: float = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compute of every content.

    *types*: names of the signal types.  *views*: kinds of views that PDQ is computed of, beside the
    picture as stored.  *commands*: operators' hash programs, as (signal type, argument vector).
    *quick*: compute picture hashes from less than the whole picture where that is much faster;
    such a signal is marked, and at most ``QUICK_ERROR_BITS`` bits off.
    """

    types: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)
    views: tuple[ViewKind, ...] = ()
    commands: tuple[tuple[str, tuple[str, ...]], ...] = ()
    quick: bool = False

"""From an open file to its fingerprint: one read, one decode.

:mod:`~hashwacht.hashing.in_process` is the path; :mod:`~hashwacht.hashing.workers` runs it in
sandboxed processes.  What to compute, and how much it may cost, is a :class:`Plan`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hashwacht.core.types import ArchiveMode
from hashwacht.core.views import ViewKind

MIB, GIB = 1 << 20, 1 << 30


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
class ArchiveLimits:
    """Limits for one archive: members of any kind, and bytes of one member and of all together.

    All extracted bytes are limited to *max_growth* times the size of the archive, or *min_total*
    if that is more, and to *max_total*.  There is no limit for a single ratio: text compresses by
    any factor, and bytes and processor time are what an archive costs.  *max_depth* is how deep
    archives in archives are opened.  *max_time* and *max_upload_time* are the seconds after which
    no member is hashed any more: a small archive has thousands of pictures that are slow to decode.
    """

    max_members: int = 10_000
    max_member_size: int = 256 * MIB
    max_growth: int = 8
    min_total: int = 1 * GIB
    max_total: int = 16 * GIB
    max_depth: int = 4
    max_time: float = 3600.0
    max_upload_time: float = 60.0

    def total_for(self, size: int) -> int:
        """Return the bytes that may be extracted from an archive of *size* bytes."""
        return min(self.max_total, max(self.min_total, self.max_growth * size))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compute of every content.

    *types*: names of the signal types.  *views*: kinds of views that PDQ is computed of, beside the
    picture as stored.  *commands*: operators' hash programs, as (signal type, argument vector).
    *quick*: compute picture hashes from less than the whole picture where that is much faster;
    such a signal is marked, and at most ``QUICK_ERROR_BITS`` bits off.  *archives*: which members
    of archives, up to *archive_limits*.
    """

    types: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)
    views: tuple[ViewKind, ...] = ()
    commands: tuple[tuple[str, tuple[str, ...]], ...] = ()
    quick: bool = False
    archives: ArchiveMode = ArchiveMode.OFF
    archive_limits: ArchiveLimits = field(default_factory=ArchiveLimits)

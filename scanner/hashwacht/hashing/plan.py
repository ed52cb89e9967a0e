"""What to compute of a content and how much it may cost: plain values that cross to a worker."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """The budget of one content.  What exceeds it keeps its digests; the rest is undetermined.

    Defaults: 50 million pixels decode within the memory of one worker (measured bombs of a few
    kilobytes take gigabytes without this); *timeout* is wall-clock time of one content,
    *max_memory* the address space a worker may add to what it has when idle.
    """

    max_pixels: int = 50_000_000
    max_frames: int = 256
    max_picture_size: int = 64 * MIB
    timeout: float = 30.0
    max_memory: int = 1024 * MIB

    @property
    def max_decoded_pixels(self) -> int:
        """Pixels that decoding may touch in all, the same one in every scan anew.

        Twenty of the largest pictures; a progressive photo has ten scans.
        """
        return 20 * self.max_pixels


@dataclass(frozen=True, slots=True)
class Plan:
    """The signal types wanted, by name, the budget, and whether PDQ is also taken turned.

    *orientations*: also give the seven other rotations and mirrorings of every PDQ hash.
    *quick*: picture hashes may be computed from less than the whole picture, where that is much
    faster; they are then off by at most ``QUICK_ERROR_BITS`` bits, and say so.
    *commands*: operators' hashers that are programs, as (signal type, argument vector).
    """

    types: tuple[str, ...]
    limits: Limits = field(default_factory=Limits)
    orientations: bool = False
    commands: tuple[tuple[str, tuple[str, ...]], ...] = ()
    quick: bool = False

"""From the bytes of a picture file to the stills it shows, within a budget, damage included."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hashwacht.core.types import Reason
from hashwacht.hashing.decode import count_scan_markers, count_scans, may_reduce, reduced
from hashwacht.hashing.formats import PictureFormat, declared_size
from hashwacht.hashing.picture import Picture
from hashwacht.hashing.plan import Limits, Plan
from hashwacht.hashing.reader import EncodedPicture
from hashwacht.hashing.repair import repair_picture

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from hashwacht.hashing.grey import GreyImage

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class DecodeFault:
    """Why a picture, or some of its frames, could not be looked at."""

    reason: Reason
    detail: str


class FrameIterator:
    """Iterate over the distinct stills of one picture file, as (name of the frame, picture).

    After the iteration, *damaged* says that something was shown although the file is not whole,
    and *fault* why something that may be shown was not looked at, or None.

    Frames are spread evenly over an animation that has more of them than the limit, with the
    first and the last, so that harmless frames in front hide nothing; of one that is too large
    for that only the first are looked at.  The frames left out are a fault.  Decoding the frames
    after the first may take half of the seconds that a content has, so that what was found is
    told before a supervisor's patience ends; within one frame nobody but a supervisor can stop a
    decoder.
    """

    def __init__(
        self, original: EncodedPicture, form: PictureFormat, plan: Plan, clock: Clock
    ) -> None:
        """Decode nothing yet."""
        self.damaged = False
        self.fault: DecodeFault | None = None
        self._original = original
        self._form = form
        self._limits = plan.limits
        self._plan = plan
        self._clock = clock
        self._until = clock() + plan.limits.timeout / 2

    def __iter__(self) -> Iterator[tuple[str, Picture]]:
        """Decode; whatever goes wrong ends the iteration and stands in *fault*."""
        try:
            yield from self._decoded()
        except MemoryError:
            self.fault = DecodeFault(Reason.OVER_LIMIT, "more memory than a worker may use")
        except _TooLarge as error:
            self.fault = DecodeFault(Reason.OVER_LIMIT, str(error))
        except Exception as error:  # noqa: BLE001  # law 2: unanswered is undetermined
            self.fault = DecodeFault(Reason.DAMAGED, f"{type(error).__name__}: {error}")

    def _decoded(self) -> Iterator[tuple[str, Picture]]:
        if may_reduce(self._plan) and (grey := self._reduced()) is not None:
            yield "", self._picture(self._first, grey)
            return
        first = self._first()
        count = getattr(first, "n_frames", 1) if self._form.multi_frame else 1
        if count == 1:
            yield "", self._picture(lambda: first)
            return
        chosen = self._chosen(count, first.size)
        if len(chosen) < count:
            self.fault = DecodeFault(
                Reason.OVER_LIMIT, f"looked at {len(chosen)} of {count} frames"
            )
        seen = set()
        for index in chosen:
            if self._clock() > self._until:
                self.fault = DecodeFault(
                    Reason.TIMED_OUT, f"stopped before frame {index} of {count}"
                )
                return
            if not self._show(first, index):
                return
            picture = self._picture(lambda: first)
            shown = hashlib.sha256(picture.rgb.tobytes()).digest()
            if shown not in seen:
                seen.add(shown)
                yield f"frame:{index}", picture

    def _chosen(self, count: int, size: tuple[int, int]) -> Sequence[int]:
        """Choose the frames to look at; to reach one, those before it are decoded as well."""
        one = max(_LEAST_FRAME, size[0] * size[1])
        affordable = max(1, self._limits.max_decoded_pixels // (_FRAME_COST * one))
        if count > affordable:
            return range(min(affordable, self._limits.max_frames))
        return _spread(count, self._limits.max_frames)

    def _reduced(self) -> GreyImage | None:
        """Decode at a lower resolution; None for what cannot be, or is damaged in any way."""
        try:
            return reduced(self._open(self._original))
        except (MemoryError, _TooLarge):
            raise
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            return None

    def _first(self) -> ImageFile:
        """Open the file and decode what it shows first: as it is, else repaired, else in part."""
        try:
            image = self._open(self._original)
            image.load()
        except (MemoryError, _TooLarge):
            raise
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            image = self._open(
                EncodedPicture(repair_picture(self._form.name, self._original.read()))
            )
            self._load_in_part(image)
            self.damaged = True
        return image

    def _open(self, original: EncodedPicture) -> ImageFile:
        """Open without decoding.  Raises _TooLarge by what the header says."""
        _check_size(declared_size(self._form.name, original), self._limits)
        assert self._form.opener is not None
        image = self._form.opener(original.open())
        _check_size(image.size, self._limits)
        if self._form.name == "JPEG":
            _check_scans(original.read(), image.size, self._limits)
        return image

    def _show(self, image: ImageFile, index: int) -> bool:
        """Go to a frame and decode it.  False if the file ends before it: nobody sees it then."""
        try:
            image.seek(index)
        except EOFError:
            self.damaged = True
            return False
        _check_size(image.size, self._limits)
        self._load_in_part(image)
        return True

    def _load_in_part(self, image: ImageFile) -> None:
        """Decode as far as it goes; raise if that leaves nothing to see.

        Pillow's decoders write into the picture as they go, and keep it when they give up.
        """
        try:
            image.load()
        except MemoryError:
            raise
        except Exception:
            image.tile = []
            image.load()
            if self._picture(lambda: image).rgb.getbbox() is None:
                raise
            self.damaged = True

    def _picture(self, decode: Callable[[], ImageFile], grey: GreyImage | None = None) -> Picture:
        plan = self._plan
        return Picture(decode, orientations=plan.orientations, quick=plan.quick, reduced=grey)


_LEAST_FRAME = 1 << 16
"""Pixels that any frame counts for at least: to go to the next one costs as much."""

_FRAME_COST = 2
"""A frame is put together, compared with the others and hashed; a scan is only read."""


class _TooLarge(Exception):
    """More pixels than the limits allow."""


def _check_size(size: tuple[int, int] | None, limits: Limits) -> None:
    """Compare a size from a header with the limit, before memory is taken for it."""
    if size is not None and size[0] * size[1] > limits.max_pixels:
        raise _TooLarge(f"{size[0]}x{size[1]} pixels, {limits.max_pixels} allowed")


def _check_scans(original: bytes, size: tuple[int, int], limits: Limits) -> None:
    """Count the scans of a JPEG: each of thousands may be short and touch every pixel."""
    most = limits.max_decoded_pixels // max(1, size[0] * size[1])
    if count_scan_markers(original) > most and (scans := count_scans(original)) > most:
        raise _TooLarge(f"{scans} scans of {size[0]}x{size[1]} pixels, {most} allowed")


def _spread(count: int, most: int) -> list[int]:
    """Give at most *most* of *count* indexes, evenly, with the first and the last."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / max(1, most - 1)) for i in range(most)})

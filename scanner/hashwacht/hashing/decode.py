"""From the bytes of a picture file to the stills that it shows, within a budget, damaged or not.

How a picture is decoded is chosen here and nowhere else:

===========================  ===================================================================
picture                      decoded
===========================  ===================================================================
JPEG, colour or grey         to grey, at 1/2, 1/4 or 1/8 as long as the short side keeps 512
                             pixels, else at full size: the colours are never computed
progressive JPEG             the same; all its scans have to be read, so it gains less
JPEG in inks (CMYK, YCCK)    in full: its stored brightness is not that of the colours
JPEG up to 128 pixels        in full: there is nothing to be saved
JPEG above 33 million        in colour, at 1/2, 1/4 or 1/8, instead of in full: its hashes are
pixels                       marked as quick ones
PNG, GIF, BMP, TIFF, WebP,   in full: their decoders, as Pillow offers them, cannot do less;
AVIF, HEIC; 16 bits,         hashed a few rows at a time, so that no second copy is ever whole
palettes; every frame
===========================  ===================================================================

A plan that is not *quick*, an operator's own picture hash, and an uncertain quick hash always use
the full decode.  512 pixels: at 256 some hashes were 14 bits off, at 512 there was no difference
to full size in grey (``docs/performance.md``).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from hashwacht.core.signals import DIGESTS
from hashwacht.core.types import QUICK_ERROR_BITS, Reason
from hashwacht.core.views import REGION_KINDS, ViewKind
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.content_reader import EncodedPicture
from hashwacht.hashing.damage import decode_damaged, repair_picture
from hashwacht.hashing.damage.png import has_wrong_checksum
from hashwacht.hashing.decoders import PartlyDecoded
from hashwacht.hashing.formats import PictureFormat, declared_size
from hashwacht.hashing.jpeg_budget import (
    PIXEL_BYTES,
    coefficient_memory,
    count_scan_markers,
    count_scans,
    feed_at_once,
    shrink_colours,
)
from hashwacht.hashing.picture import Picture
from hashwacht.hashing.views.shown import needs_full_decode

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile
    from PIL.JpegImagePlugin import JpegImageFile

    from hashwacht.hashing.decoders.jpeg_xl import JpegXlImageFile
    from hashwacht.hashing.grey import GreyImage

Clock = Callable[[], float]

_MAX_FULL_SIDE = 128

_MIN_FRAME_PIXELS = 1 << 16
"""Pixels that any frame counts for at least: the step to the next frame costs as much."""

_FRAME_COST = 2
"""A frame is composed, compared with the others and hashed; a scan is only read."""

MAX_VIEWED_FRAMES = 16
"""Frames of an animation, evenly spread, of which all views are hashed; of the others only the
rotations and reflections."""


@dataclass(frozen=True, slots=True)
class DecodeFault:
    """Why a picture, or some of its frames, could not be decoded."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class _Reduced:
    """An image that was decoded at a lower resolution, and its grey samples."""

    image: ImageFile
    grey: GreyImage


class _TooLarge(Exception):
    """More pixels than the limits allow."""


class FrameIterator:
    """Iterates over the distinct stills of one picture file, as (name of the frame, picture).

    Afterwards, *damaged* is True if something was decoded although the file is not intact, and
    *fault* is the reason why something that a viewer may show was not decoded, or None.

    Of an animation with more frames than the limit, evenly spread ones are decoded, the first and
    the last among them, so that harmless frames at the beginning hide nothing; of one that is too
    large for that only the first ones.  The frames left out are a fault.  Decoding the frames after
    the first may take half of the time that a content has, so that the result is reported before
    the worker is killed; a decoder inside one frame cannot be stopped otherwise.
    """

    def __init__(
        self, original: EncodedPicture, picture_format: PictureFormat, plan: Plan, clock: Clock
    ) -> None:
        self.damaged = False
        self.fault: DecodeFault | None = None
        self._original, self._format = original, picture_format
        self._plan, self._limits = plan, plan.limits
        self._clock = clock
        self._until = clock() + plan.limits.timeout / 2

    def __iter__(self) -> Iterator[tuple[str, Picture]]:
        try:
            yield from self._frames()
        except MemoryError:
            self.fault = DecodeFault(Reason.OVER_LIMIT, "more memory than a worker may use")
        except _TooLarge as error:
            self.fault = DecodeFault(Reason.OVER_LIMIT, str(error))
        except PartlyDecoded as error:
            self.fault = DecodeFault(Reason.NO_DECODER, str(error))
        except Exception as error:  # noqa: BLE001 - decoders raise anything; all of it is damage
            self.fault = DecodeFault(Reason.DAMAGED, f"{type(error).__name__}: {error}")

    def _frames(self) -> Iterator[tuple[str, Picture]]:
        reduced = self._reduced() if may_reduce(self._plan) or self._searches_regions else None
        if reduced and may_reduce(self._plan):
            yield "", self._picture(self._first_frame, reduced)
            return
        image, stills = self._first_stills()
        count = getattr(image, "n_frames", 1) if self._format.multi_frame else 1
        if image is None or count == 1:
            for still in stills:
                yield "", self._picture(partial(_same, still), reduced)
            return
        indexes = self._choose_frames(count, image.size)
        if len(indexes) < count:
            self.fault = DecodeFault(Reason.OVER_LIMIT, f"decoded {len(indexes)} of {count} frames")
        known, viewed = set(), {indexes[at] for at in _spread(len(indexes), MAX_VIEWED_FRAMES)}
        for index in indexes:
            if self._clock() > self._until:
                detail = f"stopped before frame {index} of {count}"
                self.fault = DecodeFault(Reason.TIMED_OUT, detail)
                return
            if not self._seek(image, index):
                return
            for still in [image] if index else stills:
                picture = self._picture(partial(_same, still), viewed=index in viewed)
                pixels = hashlib.sha256(picture.rgb.tobytes()).digest()
                if pixels not in known:
                    known.add(pixels)
                    yield f"frame:{index}", picture

    def _choose_frames(self, count: int, size: tuple[int, int]) -> Sequence[int]:
        """Return the indexes to decode; the frames before each of them are decoded as well."""
        pixels = max(_MIN_FRAME_PIXELS, size[0] * size[1])
        affordable = max(1, self._limits.max_decoded_pixels // (_FRAME_COST * pixels))
        if count > affordable:
            return range(min(affordable, self._limits.max_frames))
        return _spread(count, self._limits.max_frames)

    @property
    def _searches_regions(self) -> bool:
        return self._format.name == "JPEG" and not REGION_KINDS.isdisjoint(self._plan.views)

    def _reduced(self) -> _Reduced | None:
        """Decode at a lower resolution; None if that is impossible, or the file is damaged."""
        try:
            image = self._open(self._original, reduced=True)
            if ViewKind.SHOWN in self._plan.views and needs_full_decode(image):
                return None
            grey = reduced(image)
            return None if grey is None else _Reduced(image, grey)
        except (MemoryError, _TooLarge):
            raise
        except Exception:  # noqa: BLE001 - decoders raise anything; the full decode follows
            return None

    def _first_frame(self) -> Image:
        """Decode what is most likely shown of the first frame."""
        return self._first_stills()[1][0]

    def _first_stills(self) -> tuple[ImageFile | None, Sequence[Image]]:
        """Decode the first frame: return the file if it has more, and what viewers show of it."""
        try:
            image = self._open(self._original)
            image.load()
        except (MemoryError, _TooLarge):
            raise
        except Exception:  # noqa: BLE001 - decoders raise anything; a browser would show a part
            return self._damaged_stills()
        if self._format.name == "PNG" and has_wrong_checksum(self._original.read()):
            return image, [image, *self._stopped_stills()]
        return image, [image]

    def _stopped_stills(self) -> Iterator[Image]:
        """Yield what a browser shows of a PNG that Pillow decodes in spite of its damage."""
        self.damaged = True
        with suppress(OSError, SyntaxError, ValueError):
            yield from decode_damaged("PNG", self._original.read(), self._open_bytes)

    def _damaged_stills(self) -> tuple[ImageFile | None, Sequence[Image]]:
        name, original = self._format.name, self._original.read()
        stills = list(decode_damaged(name, original, self._open_bytes))
        self.damaged = True
        if self._format.multi_frame:
            image = self._open_bytes(repair_picture(name, original))
            if getattr(image, "n_frames", 1) > 1:
                self._load_in_part(image)
                return image, stills
        return None, stills

    def _open_bytes(self, content: bytes) -> ImageFile:
        return self._open(EncodedPicture(content))

    def _open(self, original: EncodedPicture, *, reduced: bool = False) -> ImageFile:
        """Open without decoding.  Raises _TooLarge because of the sizes in the header.

        A large JPEG will be decoded smaller, unless that is to be done later (*reduced*).
        """
        from PIL.JpegImagePlugin import JpegImageFile

        _check_size(declared_size(self._format.name, original), self._limits)
        assert self._format.opener is not None
        image = self._format.opener(original.open())
        if not isinstance(image, JpegImageFile):
            _check_size(image.size, self._limits)
            if self._format.name == "JXL":
                packing = cast("JpegXlImageFile", image)
                packing.check_jpeg = partial(_check_scans, limits=self._limits)
            return image
        in_bitmap = self._format.name != "JPEG" and isinstance(image.fp, io.BytesIO)
        content = cast("io.BytesIO", image.fp).getvalue() if in_bitmap else original.read()
        _check_scans(content, image, self._limits)
        feed_at_once(image, content)
        if not reduced:
            shrink_colours(image)
        return image

    def _seek(self, image: ImageFile, index: int) -> bool:
        """Decode a frame; return False if the file ends before it, so that no viewer shows it."""
        try:
            image.seek(index)
        except EOFError:
            self.damaged = True
            return False
        _check_size(image.size, self._limits)
        self._load_in_part(image)
        return True

    def _load_in_part(self, image: ImageFile) -> None:
        """Decode as far as possible.  Raises what the decoder raises if nothing is visible.

        Pillow's decoders write into the picture as they proceed, and keep it when they fail.
        """
        try:
            image.load()
        except MemoryError:
            raise
        except Exception:
            image.tile = []
            image.load()
            if self._picture(partial(_same, image)).rgb.getbbox() is None:
                raise
            self.damaged = True

    def _picture(
        self,
        decode: Callable[[], Image],
        reduced: _Reduced | None = None,
        *,
        viewed: bool = True,
    ) -> Picture:
        views, quick = frozenset(self._plan.views), self._plan.quick
        views = views if viewed else views & {ViewKind.TURNED}
        if reduced is None:
            return Picture(decode, views=views, quick=quick)
        grey, header = reduced.grey, reduced.image
        return Picture(decode, views=views, quick=quick, reduced=grey, header=header)


def _same(image: Image) -> Image:
    return image


def may_reduce(plan: Plan) -> bool:
    """Return whether every picture hash of a plan can use grey at a lower resolution."""
    digests = {digest.name for digest in DIGESTS}
    commands = {name for name, _ in plan.commands}
    return plan.quick and not set(plan.types) - QUICK_ERROR_BITS.keys() - digests - commands


def reduced(image: ImageFile) -> GreyImage | None:
    """Decode an opened JPEG to grey, no larger than needed; None if it must be decoded in full."""
    import numpy as np
    from PIL.JpegImagePlugin import JpegImageFile

    from hashwacht.hashing.grey import MIN_REDUCED_SIDE, GreyImage

    width, height = image.size
    if not isinstance(image, JpegImageFile) or image.mode not in {"RGB", "L"}:
        return None
    if min(width, height) <= _MAX_FULL_SIDE:
        return None
    drafted = image.draft("L", (MIN_REDUCED_SIDE, MIN_REDUCED_SIDE))
    if drafted is None or drafted[0] != "L":
        return None
    image.load()
    return GreyImage(np.asarray(image), height, width, image.decoderconfig[0])


def _check_size(size: tuple[int, int] | None, limits: Limits) -> None:
    """Raise _TooLarge for a size in a header, before memory is allocated for it."""
    if size is not None and size[0] * size[1] * PIXEL_BYTES > limits.max_decoded_memory:
        most = limits.max_decoded_memory // PIXEL_BYTES
        raise _TooLarge(f"{size[0]}x{size[1]} pixels, {most} fit into max_decoded_memory")


def _check_scans(original: bytes, image: JpegImageFile, limits: Limits) -> None:
    """Raise _TooLarge for too many scans: each of thousands may be short and touch every pixel.

    Also for too many coefficients, which are in memory at once if there are several scans.
    """
    width, height = image.size
    most = limits.max_decoded_pixels // max(1, width * height)
    markers = count_scan_markers(original)
    if most < 1 or (markers > most and count_scans(original) > most):
        scans = count_scans(original)
        raise _TooLarge(f"{scans} scans of {width}x{height} pixels, {most} allowed")
    needed = coefficient_memory(image)
    if needed > limits.max_decoded_memory and markers > 1 and count_scans(original) > 1:
        raise _TooLarge(f"the scans of {width}x{height} pixels take {needed >> 20} MiB")


def _spread(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / max(1, most - 1)) for i in range(most)})

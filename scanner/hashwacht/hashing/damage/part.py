"""Decoding as far as possible, and which pixels were decoded.

Pillow's decoders write into the picture as they proceed, and keep it when they fail; how far they
came is not reported.  So the file is decoded onto a ground of zeros and onto a ground of the
largest sample: pixels that have both values were not decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hashwacht.hashing.decoders.code_points import CODE_POINTS

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_STRIP = 256
"""Rows compared at a time."""

_LARGEST = {"1": 1, "I;16": 0xFFFF, "I": 0x7FFFFFFF}
_SHOWN_BY = frozenset({"exif", "icc_profile", "gamma", "chromaticity", "srgb", CODE_POINTS})
"""What of ``info`` changes how the pixels are shown."""

_UNKNOWN_GREY = 128
"""What libjpeg fills in; a browser shows the page there, and so do the views of the picture."""


@dataclass(frozen=True, slots=True)
class DecodedPart:
    """A picture as decoded, in the mode of the file, and (H, W) which pixels were decoded."""

    decoded: Image
    known: Mask
    error: Exception | None = None

    def image(self) -> Image:
        """Return it with everything else transparent.  Raises the decoder's error if that is all.

        Without its transparency the rest is grey.
        """
        if not self.known.any():
            raise self.error or OSError("no pixel could be decoded")
        return transparent(self.decoded, self.known)


def decode_part(open_picture: Callable[[], ImageFile]) -> DecodedPart:
    """Decode a file, opened twice.  Raises what Pillow raises while opening, and MemoryError."""
    dark, _ = _decode_on(open_picture(), largest=False)
    bright, error = _decode_on(open_picture(), largest=True)
    known = np.concatenate(
        [
            _rows(dark, top, largest=False) | _rows(bright, top, largest=True)
            for top in range(0, dark.height, _STRIP)
        ]
    )
    return DecodedPart(dark, known, error)


def transparent(decoded: Image, known: Mask) -> Image:
    """Return the picture in mode RGBA; what is not *known* is grey and transparent."""
    from PIL import Image as Pillow

    shown = decoded if decoded.mode == "RGBA" else _eight_bits(decoded).convert("RGBA")
    mask = Pillow.fromarray(known)
    result = Pillow.new("RGBA", shown.size, (_UNKNOWN_GREY,) * 3 + (0,))
    result.paste(shown, mask=mask)
    kept = _SHOWN_BY & decoded.info.keys()
    result.info = {name: decoded.info[name] for name in kept}
    return result


def _eight_bits(image: Image) -> Image:
    """Return 16-bit grey as 8 bits: Pillow's conversion would clip nearly all of it to white."""
    from PIL import Image as Pillow

    if not image.mode.startswith("I"):
        return image
    return Pillow.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))


def _decode_on(image: ImageFile, *, largest: bool) -> tuple[Image, Exception | None]:
    from PIL import Image as Pillow

    sample = _largest(image) if largest else 0
    colour = (sample,) * len(image.getbands())
    image.im = Pillow.new(image.mode, image.size, colour if len(colour) > 1 else sample).im
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise anything
        image.tile = []
        image.load()
        return image, error
    return image, None


def _largest(image: Image) -> int:
    return _LARGEST.get(image.mode, 0xFF)


def _rows(image: Image, top: int, *, largest: bool) -> Mask:
    """Return which pixels of some rows are not the ground."""
    bottom = min(top + _STRIP, image.height)
    rows = np.asarray(image.crop((0, top, image.width, bottom)))
    ground = rows == (_largest(image) if largest and image.mode != "1" else largest)
    same: Mask = ground if ground.ndim == 2 else ground.all(axis=2)  # noqa: PLR2004 - grey
    return ~same

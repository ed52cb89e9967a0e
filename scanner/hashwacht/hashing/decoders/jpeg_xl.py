"""JPEG XL, which Chromium and Safari show; needs the extra ``jxl``.

The decoder, libjxl as pillow-jxl-plugin packages it, decodes when it is called and returns the last
frame of an animation only.  So size and animation are read from the header here, before it is.

Source: ISO 18181-1, 9.2 and annex D (headers); 18181-2, clause 9 (boxes).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import import_module

from PIL import Image as Pillow
from PIL.Image import Image
from PIL.JpegImagePlugin import JpegImageFile

from hashwacht.hashing.decoders import PartlyDecoded
from hashwacht.hashing.decoders.own_image_file import OwnImageFile

_CODESTREAM = b"\xff\x0a"
_CODESTREAM_BOX, _PARTIAL_BOX = b"jxlc", b"jxlp"
_PARTIAL_INDEX = 4
"""Bytes before the codestream in a partial box."""

_SIDE_BITS = (9, 13, 18, 30)
_RATIOS = ((0, 0), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_PREVIEW_EIGHTHS_BITS, _PREVIEW_SIDE_BITS = (0, 0, 5, 9), (6, 8, 10, 12)
_MAX_HEADER = 64
_HALF_FLOATS = "F;16"


class JpegXlImageFile(OwnImageFile):
    """A JPEG XL picture, or the last frame of an animation."""

    format = "JXL"
    check_jpeg: Callable[[bytes, JpegImageFile], None] | None = None
    """Raises if a packed JPEG is not to be decoded: it may have thousands of scans."""

    def _read_header(self, content: bytes) -> tuple[tuple[int, int], str]:
        self._content = content
        size, animated = read_header(content)
        self.n_frames = 2 if animated else 1  # at least: the header does not count them
        return size, "RGB"

    def seek(self, frame: int) -> None:
        """Accept the one frame that is decoded.  Raises PartlyDecoded for any other."""
        if frame:
            raise PartlyDecoded("the decoder reads one frame of a JPEG XL animation only")

    def _decode(self) -> tuple[Image, bool]:
        decoder = import_module("pillow_jxl").Decoder(num_threads=0)
        is_jpeg, info, pixels, profile, _ = decoder(self._content)
        if is_jpeg:  # packed without loss; the decoder returns the original
            image = JpegImageFile(io.BytesIO(pixels))
            if self.check_jpeg is not None:
                self.check_jpeg(pixels, image)
            image.load()
            return image, True
        mode = "F" if info.mode == _HALF_FLOATS else info.mode
        if profile:
            self.info["icc_profile"] = profile
        return Pillow.frombytes(mode, (info.width, info.height), pixels), True


def read_header(content: bytes) -> tuple[tuple[int, int], bool]:
    """Return (width, height) and whether it is an animation.  Raises OSError, ValueError."""
    bits = _Bits(_codestream(content))
    size = _read_size(bits)
    animated = False
    if not bits.flag() and bits.flag():  # not all values are the default, and more follow
        bits.take(3)  # the orientation, which the decoder applies
        if bits.flag():
            _read_size(bits)  # the intrinsic one
        if bits.flag():
            _skip_preview(bits)
        animated = bits.flag()
    return size, animated


def _codestream(content: bytes) -> bytes:
    """Return the first bytes of the codestream after its signature."""
    at, box = 0, content
    while not box.startswith(_CODESTREAM):
        length, name = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        head = 8
        if length == 1:
            length, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        if name in {_CODESTREAM_BOX, _PARTIAL_BOX}:
            start = at + head + (_PARTIAL_INDEX if name == _PARTIAL_BOX else 0)
            box = content[start : start + _MAX_HEADER]
            break
        if length < head:
            raise OSError("a JPEG XL file without a codestream")
        at += length
    return box[len(_CODESTREAM) : _MAX_HEADER]


class _Bits:
    """Reads bits of a codestream, the lowest first."""

    def __init__(self, content: bytes) -> None:
        self._bits, self._count = int.from_bytes(content, "little"), 8 * len(content)

    def take(self, count: int) -> int:
        if count > self._count:
            raise OSError("image file is truncated")
        value = self._bits & ((1 << count) - 1)
        self._bits, self._count = self._bits >> count, self._count - count
        return value

    def flag(self) -> bool:
        return bool(self.take(1))


def _read_size(bits: _Bits) -> tuple[int, int]:
    eighths = bits.flag()
    height = _read_side(bits, eighths=eighths)
    across, down = _RATIOS[bits.take(3)]
    width = height * across // down if down else _read_side(bits, eighths=eighths)
    return width, height


def _read_side(bits: _Bits, *, eighths: bool) -> int:
    return 8 * (bits.take(5) + 1) if eighths else bits.take(_SIDE_BITS[bits.take(2)]) + 1


def _skip_preview(bits: _Bits) -> None:
    side_bits = _PREVIEW_EIGHTHS_BITS if bits.flag() else _PREVIEW_SIDE_BITS
    bits.take(side_bits[bits.take(2)])
    if not bits.take(3):  # no ratio, so the width follows
        bits.take(side_bits[bits.take(2)])

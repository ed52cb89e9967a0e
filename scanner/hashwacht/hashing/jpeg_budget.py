"""What decoding a JPEG costs, by its header, and the size at which it is decoded.

Source for counting the scans: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

START_OF_SCAN = b"\xff\xda"
_END_OF_IMAGE = 0xD9

_ARITHMETIC = (b"\xff\xc9", b"\xff\xca")
"""Markers of arithmetic coding: libjpeg decodes it only if it gets the whole file at once."""

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
"""The end of the coded bytes of a scan: any marker but a stuffed byte, a restart or a filler."""

PIXEL_BYTES = 4
"""Memory of a decoded pixel in Pillow."""

_COEFFICIENT_BYTES = 2

MAX_COLOUR_MEMORY = 128 << 20
"""Memory of the decoded colours: a JPEG above 33 million pixels is decoded at a half, a quarter or
an eighth, so that a worker stays below 200 MB."""


def coefficient_memory(image: JpegImageFile) -> int:
    """Return the bytes of all coefficients, which are in memory at once if there are scans."""
    blocks = [across * down for _, across, down, _ in image.layer]
    return image.width * image.height * _COEFFICIENT_BYTES * sum(blocks) // max([1, *blocks])


def shrink_colours(image: JpegImageFile) -> None:
    """Have a large JPEG decoded smaller."""
    step = 1
    while step < 8 and image.width * image.height * PIXEL_BYTES > MAX_COLOUR_MEMORY * step**2:  # noqa: PLR2004 - libjpeg's largest
        step *= 2
    if step > 1:
        image.draft(None, (image.width // step, image.height // step))


def feed_at_once(image: JpegImageFile, original: bytes) -> None:
    """Have an arithmetic-coded JPEG decoded from one block."""
    if any(marker in original for marker in _ARITHMETIC):
        image.decodermaxblock = len(original)


def count_scan_markers(original: bytes) -> int:
    """Count the scan markers anywhere in the bytes, ten times as fast as ``bytes.count``.

    The bytes are compared as words of two, once from the first byte and once from the second.
    """
    import numpy as np

    markers = 0
    for at in range(min(2, len(original))):
        words = np.frombuffer(original, "<u2", (len(original) - at) // 2, at)
        markers += int(np.count_nonzero(words == int.from_bytes(START_OF_SCAN, "little")))
    return markers


def count_scans(original: bytes) -> int:
    """Count the scans up to the end of the picture, without what is appended to it.

    It is at least as many as a decoder that skips garbage between segments would find.
    """
    scans, at = 0, 2
    while marker := _MARKER.search(original, at):
        code = original[marker.start() + 1]
        if code == _END_OF_IMAGE:
            break
        scans += code == START_OF_SCAN[1]
        length = int.from_bytes(original[marker.end() : marker.end() + 2], "big")
        at = marker.end() + max(length, 2)
    return scans

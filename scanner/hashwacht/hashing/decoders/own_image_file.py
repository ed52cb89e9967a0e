"""The base of our own decoders: an opened picture whose pixels are computed at the first use.

Its size is known once it is opened, so that limits are checked before memory is allocated for it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from PIL.Image import Image
from PIL.ImageFile import ImageFile


class OwnImageFile(ImageFile):
    """An image file of Pillow without Pillow's tiles.

    A file that ends too early behaves as with Pillow's decoders: the first ``load`` raises OSError,
    and the second one returns what was decoded.
    """

    def _open(self) -> None:
        """Set size and mode from the header.  Raises OSError or what ``struct`` raises."""
        self._pending = True
        assert self.fp is not None
        self._size, self._mode = self._read_header(self.fp.read())

    @abstractmethod
    def _read_header(self, content: bytes) -> tuple[tuple[int, int], str]:
        """Return size and mode; keep what is needed of *content*."""

    @abstractmethod
    def _decode(self) -> tuple[Image, bool]:
        """Return the decoded picture and whether it is complete."""

    def load(self) -> Any:
        """Decode the pixels if that did not happen yet.  Raises OSError if some are missing."""
        if self._pending:
            image, complete = self._decode()
            self._pending = False
            self.im, self._mode, self._size = image.im, image.mode, image.size
            self.palette = image.palette
            if not complete:
                raise OSError("image file is truncated")
        return super().load()

"""Pictures within a file that is not a picture itself, each decoded as a file of its own."""

from __future__ import annotations

from collections.abc import Iterator

from hashwacht.core.types import Reason
from hashwacht.core.views import join_variant
from hashwacht.hashing import Plan
from hashwacht.hashing.content_reader import HEAD, EncodedPicture
from hashwacht.hashing.decode import Clock, DecodeFault, FrameIterator
from hashwacht.hashing.decoders import PartlyDecoded
from hashwacht.hashing.formats import PictureFormat, detect_format
from hashwacht.hashing.picture import Picture

_MAX_DEPTH = 3
"""A drawing within a drawing within a drawing."""


def open_stills(
    original: EncodedPicture,
    picture_format: PictureFormat,
    plan: Plan,
    clock: Clock,
    depth: int = 0,
) -> Stills:
    """Return an iterator over the stills of a file, whether it is a picture or embeds some."""
    if picture_format.embedded is None:
        return FrameIterator(original, picture_format, plan, clock)
    return EmbeddedIterator(original, picture_format, plan, clock, depth)


class Extraction:
    """The picture files in a file, in order; afterwards *fault* is what is not judged, or None."""

    def __init__(self, original: EncodedPicture, picture_format: PictureFormat, most: int) -> None:
        """Extract at most *most* files."""
        self.fault: DecodeFault | None = None
        self._original, self._format, self._most = original, picture_format, most

    def __iter__(self) -> Iterator[tuple[str, bytes, PictureFormat]]:
        """Yield the name, the bytes and the format of each."""
        try:
            yield from self._files()
        except MemoryError:
            self.fault = DecodeFault(Reason.OVER_LIMIT, "more memory than a worker may use")
        except PartlyDecoded as error:
            self.fault = DecodeFault(Reason.NO_DECODER, str(error))
        except Exception as error:  # noqa: BLE001 - parsers raise anything; all of it is damage
            self.fault = DecodeFault(Reason.DAMAGED, f"{type(error).__name__}: {error}")

    def _files(self) -> Iterator[tuple[str, bytes, PictureFormat]]:
        assert self._format.embedded is not None
        count = 0
        for content in self._format.embedded(self._original.read()):
            picture_format = detect_format(content[:HEAD])
            if picture_format is None:
                continue
            if count >= self._most:
                detail = f"more than {count} embedded pictures"
                self.fault = DecodeFault(Reason.OVER_LIMIT, detail)
                return
            yield f"embedded:{count}", content, picture_format
            count += 1
        if not count:
            self.fault = DecodeFault(Reason.OTHER_KIND, "")
        elif count > 1 and self._format.composes:
            detail = f"{count} embedded pictures, which may form another one"
            self.fault = DecodeFault(Reason.NO_DECODER, detail)


class EncodedFiles:
    """The files that a hasher with a decoder of its own hashes: the content, or those in it."""

    def __init__(
        self, original: EncodedPicture, picture_format: PictureFormat | None, kind: str, most: int
    ) -> None:
        self.fault: DecodeFault | None = None
        self._original, self._format, self._kind, self._most = original, picture_format, kind, most

    def __iter__(self) -> Iterator[tuple[str, bytes, str]]:
        """Yield the name, the bytes and the kind of each."""
        if self._format is None or not self._format.composes:
            yield "", self._original.read(), self._kind
            return
        extraction = Extraction(self._original, self._format, self._most)
        for name, content, picture_format in extraction:
            yield name, content, picture_format.kind
        self.fault = extraction.fault


class EmbeddedIterator:
    """Iterates over the stills of embedded pictures; has the attributes of a FrameIterator.

    The variant of a still begins with ``embedded:1`` for the second embedded picture, and so on.
    """

    def __init__(
        self,
        original: EncodedPicture,
        picture_format: PictureFormat,
        plan: Plan,
        clock: Clock,
        depth: int,
    ) -> None:
        self.damaged = False
        self.fault: DecodeFault | None = None
        self._extraction = Extraction(original, picture_format, plan.limits.max_frames)
        self._plan, self._clock, self._depth = plan, clock, depth
        self._until = clock() + plan.limits.timeout / 2

    def __iter__(self) -> Iterator[tuple[str, Picture]]:
        for name, content, picture_format in self._extraction:
            if self._clock() > self._until:
                self.fault = DecodeFault(Reason.TIMED_OUT, f"stopped before {name}")
                return
            yield from self._stills(name, content, picture_format)
        self.fault = self.fault or self._extraction.fault

    def _stills(
        self, name: str, content: bytes, picture_format: PictureFormat
    ) -> Iterator[tuple[str, Picture]]:
        if not picture_format.decodable:
            self.fault = self.fault or DecodeFault(Reason.NO_DECODER, picture_format.kind)
            return
        if self._depth >= _MAX_DEPTH:
            self.fault = DecodeFault(Reason.NO_DECODER, "too many files within files")
            return
        original = EncodedPicture(content)
        stills = open_stills(original, picture_format, self._plan, self._clock, self._depth + 1)
        for variant, picture in stills:
            yield join_variant(name, variant), picture
        self.damaged |= stills.damaged
        if stills.fault is not None and stills.fault.reason is not Reason.OTHER_KIND:
            self.fault = self.fault or stills.fault


Stills = FrameIterator | EmbeddedIterator
"""Iterates over stills, then knows what was damaged or not decoded."""

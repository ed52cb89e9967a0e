"""Contract suite for signal types, built-in and operators' own: subclass it in a test.

::

    class TestPhotoDNA(SignalTypeContract):
        signal_type = PhotoDNA()
        junk = ("", "not base64 at all!")

The module imports neither pytest nor Pillow. The tests of computed signals run only for a type
that computes them.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from hashwacht.core.errors import SignalError
from hashwacht.core.ports import SignalType
from hashwacht.core.types import Signal
from hashwacht.hashing.picture import Picture
from hashwacht.hashing.registry import Digest, EncodedPictureHash, PictureHash

if TYPE_CHECKING:
    from PIL.Image import Image

_CONTENT = bytes(range(256)) * 40


class SignalTypeContract:
    """Subclass, name it ``Test...`` and set ``signal_type``."""

    signal_type: ClassVar[SignalType]
    junk: ClassVar[Sequence[str]] = ("", " ", "two words", "käse", "\0", "\x1b[31m")
    """Texts that are not values of the type; add those specific to it."""

    def test_has_a_name_that_lists_and_services_can_write(self) -> None:
        """Lower-case letters, digits and underscores; version and length are counts."""
        assert re.fullmatch(r"[a-z0-9_]+", self.signal_type.name)
        assert self.signal_type.version >= 1
        assert self.signal_type.bits >= 0
        assert isinstance(self.signal_type.perceptual, bool)

    def test_gives_examples(self) -> None:
        """At least one; they serve as test and as documentation."""
        assert self.signal_type.examples()

    def test_examples_have_the_canonical_form_they_name(self) -> None:
        """Every accepted spelling is normalized to the one form that is stored and compared."""
        for written, canonical in self.signal_type.examples():
            assert self.signal_type.canonical(written) == canonical

    def test_the_canonical_form_is_stable(self) -> None:
        """Normalizing it again changes nothing."""
        for _, canonical in self.signal_type.examples():
            assert self.signal_type.canonical(canonical) == canonical

    def test_the_canonical_form_survives_a_line_of_a_list(self) -> None:
        """One printable word: no blanks, no line ends, no control characters."""
        for _, canonical in self.signal_type.examples():
            assert canonical.isascii()
            assert canonical.isprintable()
            assert len(canonical.split()) == 1

    def test_junk_is_refused(self) -> None:
        """An invalid text raises SignalError, whose message names the type."""
        for text in self.junk:
            try:
                accepted = self.signal_type.canonical(text)
            except SignalError as error:
                assert self.signal_type.name in str(error)  # noqa: PT017 - pytest is not imported here
            else:
                raise AssertionError(f"{text!r} was accepted as {accepted!r}")

    def test_the_distance_of_a_value_to_itself_is_zero(self) -> None:
        """Equal values are equal content, as far as this type can tell."""
        for _, canonical in self.signal_type.examples():
            assert self.signal_type.distance(canonical, canonical) == 0

    def test_the_distance_is_the_same_both_ways(self) -> None:
        """And never negative."""
        values = [canonical for _, canonical in self.signal_type.examples()]
        for one in values:
            for other in values:
                there = self.signal_type.distance(one, other)
                assert there == self.signal_type.distance(other, one) >= 0

    def test_computes_the_same_twice(self) -> None:
        """The same content gives the same signals, in canonical form, under the type's name."""
        first, second = self._computed(), self._computed()
        assert first == second
        for signal in first:
            assert signal.type == self.signal_type.name
            assert self.signal_type.canonical(signal.value) == signal.value
            assert signal.quality is None or signal.quality in range(101)

    def test_what_is_computed_depends_on_the_content(self) -> None:
        """A hasher that returns one value for every content would match everything."""
        one, other = self._computed(seed=1), self._computed(seed=2)
        assert not one or {signal.value for signal in one} != {signal.value for signal in other}

    def _computed(self, seed: int = 1) -> list[Signal]:
        """Compute signals in every way the type supports; none if it only compares."""
        signals: list[Signal] = []
        if isinstance(self.signal_type, Digest):
            signals += _digested(self.signal_type, _CONTENT + bytes([seed]))
        if isinstance(self.signal_type, PictureHash):
            signals += self.signal_type.signals(Picture(partial(_sample, seed)))
        if isinstance(self.signal_type, EncodedPictureHash):
            encoded = io.BytesIO()
            _sample(seed).save(encoded, "JPEG")
            signals += self.signal_type.signals_from_bytes(encoded.getvalue(), "image/jpeg")
        return signals


def _sample(seed: int) -> Image:
    """Return smooth coloured noise, 256 pixels square; other seeds give other pictures."""
    from PIL import Image as Pillow

    samples = hashlib.shake_256(bytes([seed])).digest(16 * 16 * 3)
    noise = Pillow.frombytes("RGB", (16, 16), samples)
    return noise.resize((256, 256), Pillow.Resampling.BICUBIC)


def _digested(digest: Digest, content: bytes) -> list[Signal]:
    """Digest in chunks of several sizes, as a file is read."""
    running = digest.new()
    running.update(content[:1])
    running.update(content[1:1000])
    running.update(content[1000:])
    return [Signal(digest.name, running.hexdigest())]

"""The browser as judge of damaged files: our hashes are those of what it displays of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from demo.pictures import grainy, photo
from hashwacht.core.types import MIN_QUALITY, Fingerprint
from hashwacht.core.views import ViewKind
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from support.browser.renderer import PdqHash, Renderer, distance
from support.fingerprints import fingerprint_bytes
from support.pictures.damage import DAMAGES, codings

TOLERANCE = 10
"""Bits between our hash of a damaged picture and that of the browser's pixels."""

SIZES = ((400, 300), (333, 517), (640, 480))

_PLAN = Plan(("md5", "pdq"), views=(ViewKind.SHOWN,))
_NOTHING = 257


@dataclass(frozen=True, slots=True)
class DamagedFile:
    """A damaged picture file; *name* is ``coding/damage/number``."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class JudgedDamage:
    """How far our nearest hash is from what a browser displays, in bits.

    *displayed*: the browser displays enough of it for a hash.
    """

    file: DamagedFile
    displayed: bool
    farthest: int
    undetermined: bool

    @property
    def missed(self) -> bool:
        """Return whether people see something else than what was hashed, silently."""
        return self.displayed and self.farthest > TOLERANCE and not self.undetermined


def damaged_files(seed: int, pictures: int, each: int) -> Iterator[DamagedFile]:
    """Yield *each* files of every coding of every picture, the damage chosen at random."""
    for number in range(pictures):
        image = grainy(photo(seed + number, SIZES[number % len(SIZES)]), 3)
        for coding, content in codings(image):
            random = np.random.default_rng([seed, number, *coding.encode()])
            for index in range(each):
                damage = str(random.choice(list(DAMAGES)))
                name = f"{coding}/{damage}/{number}.{index}"
                yield DamagedFile(name, DAMAGES[damage](content, random))


def judge_damage(renderer: Renderer, files: Iterable[DamagedFile]) -> Iterator[JudgedDamage]:
    """Render and hash every file."""
    fingerprinter, known = InProcessFingerprinter(_PLAN), list(files)
    renderings = renderer.render_all((file.content, "") for file in known)
    for file, rendering in zip(known, renderings, strict=True):
        fingerprint = fingerprint_bytes(fingerprinter, file.content)
        shown = (
            [page for page in rendering.hashes if page.quality >= MIN_QUALITY] if rendering else []
        )
        ours = _hashes(fingerprint)
        nearest = [
            min((distance(page, hash_) for hash_ in ours), default=_NOTHING) for page in shown
        ]
        undetermined = any(skip.reason.undetermined for skip in fingerprint.skipped)
        yield JudgedDamage(file, bool(shown), max(nearest, default=0), undetermined)


def _hashes(fingerprint: Fingerprint) -> list[PdqHash]:
    return [
        PdqHash(signal.value, signal.quality or 0)
        for signal in fingerprint.signals
        if signal.type == "pdq" and signal.matchable
    ]

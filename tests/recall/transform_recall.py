"""Recall per transform: the share of changed pictures that are found, ours and a peer's."""

from __future__ import annotations

import statistics
import tempfile
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashwacht.checker import CheckResult
from hashwacht.core.types import Outcome
from recall.photographs import KEPT, ORIGINALS, Photograph, photographs
from recall.report import Row, at_least, percent, table
from support.recall.checking import checking
from support.recall.transforms import TRANSFORMS, Transform

PENDING = 8
SEED = 7

PHOTOGRAPHS = 20
"""Of each set."""

COUNTED = ("ours", "pdq", "small", "undetermined", "peer")

LETTERBOXES = (
    "letterbox, square, black",
    "letterbox, square, white",
    "letterbox, 9:16, black",
    "pillarbox, 21:9, black",
)


@dataclass(frozen=True, slots=True)
class Found:
    """Whether one changed picture was found.

    *pdq*: by PDQ in some view, *small*: by a 64-bit hash; *peer*: by threatexchange at its default
    threshold; *undetermined*: not found, and reported as undetermined.
    """

    transform: Transform
    photograph: str
    pdq: bool
    small: bool
    undetermined: bool
    peer: bool

    @property
    def ours(self) -> bool:
        """Return whether Hashwacht reports the match at its defaults."""
        return self.pdq or self.small


class Peer:
    """Meta's reference client: one PDQ hash of the stored pixels, radius 31."""

    def __init__(self, originals: Sequence[Photograph]) -> None:
        from threatexchange.signal_type.pdq.signal import PdqSignal

        from support.recall.transforms import png

        self._signal = PdqSignal
        self._hashes = [self._signal.hash_from_bytes(png(one.image)) for one in originals]

    def finds(self, content: bytes, number: int) -> bool:
        """Return whether *content* matches the original of this number."""
        try:
            value = self._signal.hash_from_bytes(content)
        except Exception:  # noqa: BLE001 - whatever Pillow raises: the peer has no answer
            return False
        return bool(value) and self._signal.compare_hash(self._hashes[number], value).match


def found_of(home: Path, originals: Sequence[Photograph], seed: int) -> Iterator[Found]:
    """Check every transform of every original."""
    peer = Peer(originals)
    pending: deque[_Pending] = deque()
    with checking(home, [one.image for one in originals]) as check:
        for transform in TRANSFORMS:
            for number in range(len(originals)):
                content = changed(transform, originals[number], seed)
                result = check.submit(content)
                pending.append(_Pending(transform, number, result, peer.finds(content, number)))
                if len(pending) >= PENDING:
                    yield pending.popleft().found(originals)
        while pending:
            yield pending.popleft().found(originals)


def changed(transform: Transform, original: Photograph, seed: int) -> bytes:
    """Return the file of one transform of one original; the same seed makes the same file."""
    number = zlib.crc32(f"{transform.name}/{original.name}".encode())
    return transform.make(original.image, np.random.default_rng([seed, number]))


@dataclass(frozen=True, slots=True)
class _Pending:
    transform: Transform
    number: int
    result: Future[CheckResult]
    peer: bool

    def found(self, originals: Sequence[Photograph]) -> Found:
        result = self.result.result()
        types = {match.signal.type for match in result.matches if match.id == str(self.number)}
        return Found(
            self.transform,
            originals[self.number].name,
            pdq="pdq" in types,
            small=bool(types - {"pdq"}),
            undetermined=result.outcome is Outcome.UNDETERMINED,
            peer=self.peer,
        )


def measure(build: Path) -> dict[str, Any]:
    """Return the counts of every transform, over photographs of both sets."""
    originals = [
        one for sources in (ORIGINALS, KEPT) for one in photographs(build, sources)[:PHOTOGRAPHS]
    ]
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as home:
        for one in found_of(Path(home), originals, SEED):
            counts.setdefault(one.transform.name, Counter()).update(
                {name: getattr(one, name) for name in COUNTED}
            )
    return {"photographs": len(originals), "counts": counts}


def rows(results: Mapping[str, Any]) -> list[Row]:
    """Return the rows of the table."""
    counts, total = results.get("counts", {}), results.get("photographs", 0)

    def recall(*names: str) -> float | None:
        values = [percent(counts[name]["ours"], total) for name in names if name in counts]
        return min(values) if values else None

    def of_group(*groups: str) -> float | None:
        values = [
            percent(counts[one.name]["ours"], total)
            for one in TRANSFORMS
            if one.group in groups and one.name in counts
        ]
        return statistics.mean(values) if values else None

    whole = of_group("turned by EXIF", "rotated by 90°", "mirrored")
    alpha = of_group("content in alpha")
    return [
        at_least("recall: EXIF-turned, rotated by 90°, mirrored", "1 to 2 %", whole, 98, " %"),
        at_least("recall: border 2 %", "42 %", recall("border 2 %"), 95, " %"),
        at_least("recall: border 5 %", "5 %", recall("border 5 %", "border 5 %, black"), 95, " %"),
        at_least("recall: bar above", "1 %", recall("bar above", "bar above, black"), 95, " %"),
        at_least("recall: letterbox", "not measured", recall(*LETTERBOXES), 95, " %"),
        at_least(
            "recall: screenshot with frame", "0 %", of_group("screenshot with frame"), 85, " %"
        ),
        at_least("recall: content in alpha", "0 %", alpha, 99, " %"),
        at_least("recall: crop 5 %", "73 %", recall("crop 5 %"), 73, " %"),
        at_least("recall: crop 10 %", "11 %", recall("crop 10 %"), 11, " %"),
        at_least("recall: text bar over", "79 %", recall("text bar over"), 79, " %"),
    ]


def describe(results: Mapping[str, Any]) -> str:
    """Return the table of all transforms."""
    total = results["photographs"]

    def cell(counts: Mapping[str, int], name: str) -> str:
        return f"{percent(counts[name], total):.0f} %"

    lines = []
    for one in TRANSFORMS:
        counts = results["counts"][one.name]
        lines.append([one.group, one.name, *(cell(counts, name) for name in COUNTED)])
    heads = ("", "transform", "found", "by PDQ", "by 64 bits", "undetermined", "threatexchange")
    return f"{total} photographs.\n\n{table(heads, lines)}"

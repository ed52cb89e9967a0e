"""The browser as judge: what it displays as a known picture must match or be undetermined."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from hashwacht.checker import CheckResult
from hashwacht.core.types import MIN_QUALITY, Outcome
from support.browser.renderer import ANSWER_LIMIT, PdqHash, Renderer, Rendering, distance
from support.recall.checking import Checking
from support.recall.variants import Variant

RADIUS = 31
"""Meta's confident-match threshold of PDQ in bits."""

PENDING = 8


@dataclass(frozen=True, slots=True)
class Judged:
    """A file, how far its rendering is from the known picture, and the result of its check.

    *shown* is in bits, None if the browser displays nothing, or nothing that PDQ can hash.
    """

    variant: Variant
    shown: int | None
    result: CheckResult

    @property
    def displayed(self) -> bool:
        """Return whether people see the known picture."""
        return self.shown is not None and self.shown <= RADIUS

    @property
    def missed(self) -> bool:
        """Return whether people see it and the outcome is *no match*."""
        return self.displayed and self.result.outcome is Outcome.NO_MATCH

    @property
    def undetermined(self) -> bool:
        """Return whether people see it and the outcome is *undetermined*."""
        return self.displayed and self.result.outcome is Outcome.UNDETERMINED

    def __str__(self) -> str:
        skipped = f"{self.result.reason} {self.result.verdict.detail}" if self.result.reason else ""
        return f"{self.variant.name} shown at {self.shown} bits: {self.result.outcome} {skipped}"


def judge_all(
    renderer: Renderer,
    checking: Checking,
    known: Sequence[PdqHash],
    variants: Iterable[Variant],
) -> Iterator[Judged]:
    """Render and check every file, some at the same time; *known* are the listed hashes."""
    pending: deque[tuple[Variant, Future[Rendering | None], Future[CheckResult]]] = deque()
    for variant in variants:
        rendering = renderer.submit(variant.content, variant.media_type)
        pending.append((variant, rendering, checking.submit(variant.content)))
        if len(pending) >= PENDING:
            yield _judged(*pending.popleft(), known)
    while pending:
        yield _judged(*pending.popleft(), known)


def _judged(
    variant: Variant,
    rendering: Future[Rendering | None],
    result: Future[CheckResult],
    known: Sequence[PdqHash],
) -> Judged:
    shown = rendering.result(ANSWER_LIMIT)
    hashes = shown.hashes if shown else ()
    distances = [
        distance(page, known[variant.number]) for page in hashes if page.quality >= MIN_QUALITY
    ]
    return Judged(variant, min(distances, default=None), result.result(ANSWER_LIMIT))

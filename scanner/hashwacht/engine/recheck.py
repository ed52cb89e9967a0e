"""Finding the stored contents that have to be asked about again.  No file is read.

Lists grow, matchers are added, services were unavailable: each of these leaves contents without
an answer that is valid now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hashwacht.matching.matcher_set import MatcherSet
from hashwacht.storage.answers import AnswerRequirement
from hashwacht.storage.store import Store


def answer_requirements(matcher_set: MatcherSet, now: float) -> dict[str, AnswerRequirement]:
    """Return, by matcher, the conditions under which a stored answer is valid at *now*."""
    return {
        configured.matcher.name: AnswerRequirement(
            configured.matcher.revision, configured.not_before(now), configured.matcher.accepts
        )
        for configured in matcher_set.matchers
    }


class StaleContents:
    """The contents that lack a valid answer, in the order of their numbers."""

    def __init__(self, store: Store, matcher_set: MatcherSet, clock: Callable[[], float]) -> None:
        """*clock* returns Unix time."""
        self._store, self._clock = store, clock
        self._requirements = answer_requirements(matcher_set, clock())
        self._knowledge_id = store.knowledge_ids.resolve(matcher_set.knowledge_id)

    def count(self) -> int:
        """Return how many there are."""
        return self._store.answers.count_stale(self._requirements, knowledge_id=self._knowledge_id)

    def load(self, after: int, limit: int) -> list[int]:
        """Return up to *limit* numbers above *after*, ascending."""
        return self._store.answers.load_stale(
            self._requirements, after, limit, knowledge_id=self._knowledge_id
        )

    def batches(self, size: int) -> Iterator[list[int]]:
        """Yield all of them in batches; each is queried when it is needed."""
        after = 0
        while numbers := self.load(after, size):
            yield numbers
            after = numbers[-1]

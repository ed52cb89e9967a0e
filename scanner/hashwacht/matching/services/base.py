"""What every matcher that asks a service has in common; each protocol adds how it asks."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from hashwacht.core.ports import Question
from hashwacht.core.types import Answer, Finding
from hashwacht.ipc.messages import Key
from hashwacht.matching import questions
from hashwacht.matching.questions import Said, to_answers, to_ask
from hashwacht.matching.services.client import Client


class ServiceMatcher(ABC):
    """A matcher behind one client.  Thread-safe, if ``_ask`` is."""

    def __init__(self, name: str, client: Client, accepts: Iterable[str], revision: str) -> None:
        """*revision* names everything that gives an answer its meaning: address, path, words."""
        self.name = name
        self.accepts = frozenset(accepts)
        self.revision = revision
        self._client = client

    def lookup(self, questions: Sequence[Question]) -> list[Answer]:
        """Ask every signal once, as many at a time as the service's concurrency says."""
        asked_at = time.time()
        said = self._ask(to_ask(questions, self.accepts))
        return to_answers(
            questions, said.get, matcher=self.name, asked_at=asked_at, revision=self.revision
        )

    def check(self) -> Finding:
        """Ask for signals that nothing has; known would be nonsense."""
        return questions.judge(self.name, self._ask(questions.harmless(self.accepts)))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @abstractmethod
    def _ask(self, keys: Sequence[Key]) -> dict[Key, Said]:
        """Ask for all of these, and say of each what was heard."""

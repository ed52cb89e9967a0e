"""What every matcher that asks a service has in common; each protocol adds how it asks."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from hashwacht.core.ports import Query
from hashwacht.core.types import Answer, Diagnostic
from hashwacht.ipc.messages import SignalKey
from hashwacht.matching import questions
from hashwacht.matching.questions import ServiceAnswer, build_answers, lookup_keys
from hashwacht.matching.services.client import ServiceClient


class ServiceMatcher(ABC):
    """A matcher behind one client.  Thread-safe, if ``_ask`` is."""

    def __init__(
        self, name: str, client: ServiceClient, accepts: Iterable[str], revision: str
    ) -> None:
        """*revision* names everything that gives an answer its meaning: address, path, words."""
        self.name = name
        self.accepts = frozenset(accepts)
        self.revision = revision
        self._client = client

    def lookup(self, questions: Sequence[Query]) -> list[Answer]:
        """Ask every signal once, as many at a time as the service's concurrency says."""
        asked_at = time.time()
        said = self._ask(lookup_keys(questions, self.accepts))
        return build_answers(
            questions, said.get, matcher=self.name, asked_at=asked_at, revision=self.revision
        )

    def check(self) -> Diagnostic:
        """Ask for signals that nothing has; known would be nonsense."""
        return questions.evaluate_check(self.name, self._ask(questions.probe_signals(self.accepts)))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @abstractmethod
    def _ask(self, keys: Sequence[SignalKey]) -> dict[SignalKey, ServiceAnswer]:
        """Ask for all of these, and say of each what was heard."""

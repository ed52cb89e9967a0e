"""A service, asked through the courier: no network, no credential and no HTTP on this side.

Whoever asks sees no difference to the service's own matcher: same name, same revision, so that
answers are shared.  A courier that is absent, slow, dead or talks nonsense makes answers
UNDETERMINED (unanswered), never NO_MATCH and never an exception.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hashwacht.core.ports import Question
from hashwacht.core.types import Answer, Finding
from hashwacht.ipc.client import Link, Unreached
from hashwacht.ipc.messages import (
    MOST_SIGNALS,
    Answers,
    Ask,
    Check,
    Checked,
    Failed,
    Heard,
    Key,
    digest,
)
from hashwacht.matching.questions import Fault, Said, to_answers, to_ask

PATIENCE = 910.0
"""Seconds for a whole lookup: the courier's own for the service is 900, and this for its answer."""

_ADVICE = "See if the courier runs: `systemctl status hashwacht-courier`, or `hashwacht daemon`."


class CourierMatcher:
    """A matcher whose service the courier asks.  Thread-safe."""

    def __init__(
        self,
        name: str,
        accepts: Iterable[str],
        revision: str,
        socket: Path,
        *,
        patience: float = PATIENCE,
    ) -> None:
        """Say what the service's own matcher would; the courier listens on *socket*."""
        self.name = name
        self.accepts = frozenset(accepts)
        self.revision = revision
        self._digest = digest(revision)
        self._patience = patience
        self._link = Link(socket)

    def lookup(self, questions: Sequence[Question]) -> list[Answer]:
        """Ask every signal once; what is not answered in time is undetermined."""
        asked_at = time.time()
        said = dict(self._said(to_ask(questions, self.accepts)))
        return to_answers(
            questions, said.get, matcher=self.name, asked_at=asked_at, revision=self.revision
        )

    def check(self) -> Finding:
        """Have the courier ask its harmless question."""
        try:
            reply = self._link.ask(Check(self.name), self._patience)
        except Unreached as error:
            return Finding(self.name, ok=False, detail=error.detail, advice=_ADVICE)
        if isinstance(reply, Checked):
            return reply.finding
        problem, advice = (reply.problem, reply.advice) if isinstance(reply, Failed) else ("", "")
        return Finding(self.name, ok=False, detail=problem, advice=advice or _ADVICE)

    def close(self) -> None:
        """Hang up."""
        self._link.close()

    def _said(self, keys: Sequence[Key]) -> Iterator[tuple[Key, Said]]:
        """Ask in portions; after a fault of the courier itself the rest is not asked any more."""
        deadline = time.monotonic() + self._patience
        fault: Fault | None = None
        for start in range(0, len(keys), MOST_SIGNALS):
            portion = tuple(keys[start : start + MOST_SIGNALS])
            heard = fault or self._ask(portion, max(0.0, deadline - time.monotonic()))
            if isinstance(heard, Fault):
                fault = heard
                yield from ((key, fault) for key in portion)
            else:
                yield from zip(portion, map(_said, heard), strict=True)

    def _ask(self, signals: tuple[Key, ...], seconds: float) -> tuple[Heard, ...] | Fault:
        try:
            reply = self._link.ask(Ask(self.name, signals), seconds)
        except Unreached as error:
            return Fault(error.detail)
        if isinstance(reply, Failed):
            return Fault(f"the courier says: {reply.problem}")
        assert isinstance(reply, Answers), "decoding lets nothing else through"
        if reply.revision != self._digest:
            return Fault("the courier has another configuration of it: reload or restart it")
        return reply.heard


def _said(heard: Heard) -> Said:
    return heard.hits if heard.reason is None else Fault(heard.detail, heard.reason)

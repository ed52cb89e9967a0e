"""When each matcher last gave a usable answer, and why it last gave none."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace

from hashwacht.daemon.status.health import MatcherHealth
from hashwacht.matching.matcher_set import MUTED
from hashwacht.core.types import Answer, Outcome, Reason

SILENT = frozenset({Reason.UNANSWERED, Reason.REFUSED})
"""Reasons that are the matcher's, and pass: the same question may be answered later."""


class Hearing:
    """Remembers by matcher.  Thread-safe."""

    def __init__(self) -> None:
        """Begin without having heard of anybody."""
        self._lock = threading.Lock()
        self._heard: dict[str, MatcherHealth] = {}

    def note(self, answers: Iterable[Answer]) -> bool:
        """Take in what matchers said just now; True if one answers again that had not."""
        back = False
        with self._lock:
            for answer in answers:
                if answer.detail == MUTED:
                    continue
                before = self._heard.get(answer.matcher, MatcherHealth(answer.matcher))
                if answer.outcome is Outcome.UNDETERMINED and answer.reason in SILENT:
                    problem = answer.detail or answer.reason.value
                    now = replace(before, failed=answer.asked_at, problem=problem)
                else:
                    now = replace(before, answered=answer.asked_at, problem="")
                    back = back or bool(before.problem)
                self._heard[answer.matcher] = now
        return back

    def silent(self) -> set[str]:
        """Name those whose last answer was none."""
        with self._lock:
            return {name for name, each in self._heard.items() if each.problem}

    def of(self, matchers: Iterable[str]) -> tuple[MatcherHealth, ...]:
        """Say how these matchers answer."""
        with self._lock:
            return tuple(self._heard.get(name, MatcherHealth(name)) for name in matchers)

    def all(self) -> tuple[MatcherHealth, ...]:
        """Say how everybody answers who was ever asked."""
        with self._lock:
            return tuple(self._heard.values())

"""The parts of the scanner that depend on the configuration; a reload replaces them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from hashwacht.cases.case_opening import JudgedFile
from hashwacht.core.types import Action, Answer, Outcome
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.engine.judge import UNAVAILABLE_REASONS
from hashwacht.matching.matcher_set import NOT_ASKED_REASON
from hashwacht.pipeline import Pipeline
from hashwacht.settings import DaemonSettings


@dataclass(frozen=True, slots=True)
class MatcherHealth:
    """The Unix times of a matcher's last answer and last failure.

    *problem* is why its last lookup failed; empty if it answered.
    """

    name: str
    last_answer: float | None = None
    last_failure: float | None = None
    problem: str = ""


class MatcherHealthTracker:
    """Tracks the health of all matchers that were asked.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._health: dict[str, MatcherHealth] = {}

    def record(self, answers: Iterable[Answer]) -> bool:
        """Record new answers; return True if a matcher that had failed answers again."""
        recovered = False
        with self._lock:
            for answer in answers:
                if answer.detail == NOT_ASKED_REASON:
                    continue
                before = self._health.get(answer.matcher, MatcherHealth(answer.matcher))
                if answer.outcome is Outcome.UNDETERMINED and answer.reason in UNAVAILABLE_REASONS:
                    problem = answer.detail or answer.reason.value
                    now = replace(before, last_failure=answer.asked_at, problem=problem)
                else:
                    now = replace(before, last_answer=answer.asked_at, problem="")
                    recovered = recovered or bool(before.problem)
                self._health[answer.matcher] = now
        return recovered

    def failing(self) -> set[str]:
        """Return the names of matchers whose last lookup failed."""
        with self._lock:
            return {name for name, health in self._health.items() if health.problem}

    def get_all(self, matchers: Iterable[str]) -> tuple[MatcherHealth, ...]:
        """Return the health of these matchers."""
        with self._lock:
            return tuple(self._health.get(name, MatcherHealth(name)) for name in matchers)

    def all(self) -> tuple[MatcherHealth, ...]:
        """Return the health of every matcher that was asked."""
        with self._lock:
            return tuple(self._health.values())


class CaseHandler(Protocol):
    """Opens cases, acts and alerts, as the policy says.  Thread-safe."""

    def apply_verdict(self, judged: JudgedFile) -> Action:
        """Carry out what a verdict demands and return the action in force; may be repeated."""

    def open_upload_case(self, key: str) -> None:
        """Open the case of an upload that a web application reported, if it matches."""

    def retry_due(self, now: float) -> None:
        """Retry failed actions and carry out those that were approved."""


@dataclass(frozen=True, slots=True, eq=False)
class Runtime:
    """The configured parts.  *jobs* is the number of worker processes.

    Files that look unchanged are read again within *reread_interval* seconds; 0 is never.
    """

    roots: Roots
    pipeline: Pipeline
    casework: CaseHandler
    settings: DaemonSettings
    jobs: int
    reread_interval: float = 0.0


class RuntimeHandle:
    """The current runtime.  A former one is closed when its last user has released it."""

    def __init__(self, runtime: Runtime) -> None:
        self._lock = threading.Lock()
        self._current = runtime
        self._users: Counter[Runtime] = Counter()

    @property
    def current(self) -> Runtime:
        """The current runtime, to look something up; acquire it to use its pipeline."""
        return self._current

    def acquire(self) -> Runtime:
        """Return the current runtime, which stays open until it is released."""
        with self._lock:
            self._users[self._current] += 1
            return self._current

    def release(self, runtime: Runtime) -> None:
        """Release an acquired runtime, and close it if it is a former one without users."""
        with self._lock:
            self._users[runtime] -= 1
            unused = not self._users[runtime]
            if unused:
                del self._users[runtime]
            unused = unused and runtime.pipeline is not self._current.pipeline
        if unused:
            runtime.pipeline.close()

    @contextmanager
    def borrow(self) -> Iterator[Runtime]:
        """Acquire the current runtime for the block."""
        runtime = self.acquire()
        try:
            yield runtime
        finally:
            self.release(runtime)

    def replace(self, runtime: Runtime) -> None:
        """Make another runtime the current one."""
        with self._lock:
            former, self._current = self._current, runtime
            unused = not self._users[former] and former.pipeline is not runtime.pipeline
        if unused:
            former.pipeline.close()

"""What the scanner works with as it is configured now; a reload puts another one in its place.

When each matcher last gave a usable answer, and why it last gave none.
"""

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
    """How a matcher answers: when (Unix time) it last gave a usable answer, and last none.

    *problem* says why it gave none; empty if its last answer was a usable one.
    """

    name: str
    last_answer: float | None = None
    last_failure: float | None = None
    problem: str = ""


class MatcherHealthTracker:
    """Remembers by matcher.  Thread-safe."""

    def __init__(self) -> None:
        """Begin without having heard of anybody."""
        self._lock = threading.Lock()
        self._heard: dict[str, MatcherHealth] = {}

    def record(self, answers: Iterable[Answer]) -> bool:
        """Take in what matchers said just now; True if one answers again that had not."""
        back = False
        with self._lock:
            for answer in answers:
                if answer.detail == NOT_ASKED_REASON:
                    continue
                before = self._heard.get(answer.matcher, MatcherHealth(answer.matcher))
                if answer.outcome is Outcome.UNDETERMINED and answer.reason in UNAVAILABLE_REASONS:
                    problem = answer.detail or answer.reason.value
                    now = replace(before, last_failure=answer.asked_at, problem=problem)
                else:
                    now = replace(before, last_answer=answer.asked_at, problem="")
                    back = back or bool(before.problem)
                self._heard[answer.matcher] = now
        return back

    def failing(self) -> set[str]:
        """Name those whose last answer was none."""
        with self._lock:
            return {name for name, each in self._heard.items() if each.problem}

    def get_all(self, matchers: Iterable[str]) -> tuple[MatcherHealth, ...]:
        """Say how these matchers answer."""
        with self._lock:
            return tuple(self._heard.get(name, MatcherHealth(name)) for name in matchers)

    def all(self) -> tuple[MatcherHealth, ...]:
        """Say how everybody answers who was ever asked."""
        with self._lock:
            return tuple(self._heard.values())


class CaseHandler(Protocol):
    """What follows from a verdict: cases, actions, alerts.  Thread-safe."""

    def apply_verdict(self, judged: JudgedFile) -> Action:
        """Carry out what a verdict demands and return the action in force; may be repeated."""

    def open_upload_case(self, key: str) -> None:
        """Open the case of an upload that a web application reported, if it matches."""

    def retry_due(self, now: float) -> None:
        """Retry failed actions and carry out those that were approved."""


@dataclass(frozen=True, slots=True, eq=False)
class Runtime:
    """*jobs* is how many files are fingerprinted at the same time."""

    roots: Roots
    pipeline: Pipeline
    casework: CaseHandler
    settings: DaemonSettings
    jobs: int

    def reresolve(self) -> Runtime:
        """Give the same, with the links in the paths of the roots followed anew."""
        return replace(self, roots=self.roots.reresolve())


class RuntimeHandle:
    """The parts that count now.  Those of before are closed when their last user is done."""

    def __init__(self, parts: Runtime) -> None:
        """Begin with these."""
        self._lock = threading.Lock()
        self._now = parts
        self._users: Counter[Runtime] = Counter()

    @property
    def current(self) -> Runtime:
        """To look something up; whoever works with them borrows them."""
        return self._now

    def acquire(self) -> Runtime:
        """Borrow the present ones; ``give_back`` them."""
        with self._lock:
            self._users[self._now] += 1
            return self._now

    def release(self, parts: Runtime) -> None:
        """Say that one user is done."""
        with self._lock:
            self._users[parts] -= 1
            over = not self._users[parts] and parts.pipeline is not self._now.pipeline
            if not self._users[parts]:
                del self._users[parts]
        if over:
            parts.pipeline.close()

    @contextmanager
    def borrow(self) -> Iterator[Runtime]:
        """Borrow them for a while."""
        parts = self.acquire()
        try:
            yield parts
        finally:
            self.release(parts)

    def replace(self, parts: Runtime) -> None:
        """Let these count from now on."""
        with self._lock:
            former, self._now = self._now, parts
            over = not self._users[former] and former.pipeline is not parts.pipeline
        if over:
            former.pipeline.close()

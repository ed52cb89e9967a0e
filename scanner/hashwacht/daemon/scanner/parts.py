"""What the scanner works with as it is configured now; a reload puts another one in its place."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from hashwacht.cases.found import Found
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.pipeline import Pipeline
from hashwacht.cases.policy import Action
from hashwacht.settings import DaemonSettings


class Settling(Protocol):
    """What follows from a verdict: cases, actions, alerts.  Thread-safe."""

    def settle(self, found: Found) -> Action:
        """Do what is to be done about a content at a place; doing it twice does no harm."""

    def settle_upload(self, key: str) -> None:
        """Do what is to be done about a content that web applications told about."""

    def retry(self, now: float) -> None:
        """Try again what failed, and do what was held back and has been let go."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """*jobs* is how many files are fingerprinted at the same time."""

    roots: Roots
    pipeline: Pipeline
    casework: Settling
    settings: DaemonSettings
    jobs: int

    def resolved(self) -> Parts:
        """Give the same, with the links in the paths of the roots followed anew."""
        return replace(self, roots=self.roots.resolved())


class Current:
    """The parts that count now.  Those of before are closed when their last user is done."""

    def __init__(self, parts: Parts) -> None:
        """Begin with these."""
        self._lock = threading.Lock()
        self._now = parts
        self._users: Counter[Parts] = Counter()

    @property
    def now(self) -> Parts:
        """To look something up; whoever works with them borrows them."""
        return self._now

    def take(self) -> Parts:
        """Borrow the present ones; ``give_back`` them."""
        with self._lock:
            self._users[self._now] += 1
            return self._now

    def give_back(self, parts: Parts) -> None:
        """Say that one user is done."""
        with self._lock:
            self._users[parts] -= 1
            over = not self._users[parts] and parts.pipeline is not self._now.pipeline
            if not self._users[parts]:
                del self._users[parts]
        if over:
            parts.pipeline.close()

    @contextmanager
    def using(self) -> Iterator[Parts]:
        """Borrow them for a while."""
        parts = self.take()
        try:
            yield parts
        finally:
            self.give_back(parts)

    def replace(self, parts: Parts) -> None:
        """Let these count from now on."""
        with self._lock:
            former, self._now = self._now, parts
            over = not self._users[former] and former.pipeline is not parts.pipeline
        if over:
            former.pipeline.close()

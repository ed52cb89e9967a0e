"""Contents that ended their workers: what counts as that, and with what it would happen again."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from threading import Lock

from hashwacht.hashing.plan import Plan
from hashwacht.core.ports import CHANCES
from hashwacht.core.types import Reason

BLAMED = frozenset({Reason.WORKER_DIED, Reason.TIMED_OUT})

BARRED = "not decoded again: it did this before, to the same decoder"

_DECODERS = ("pillow", "pillow-heif")


def decoder(plan: Plan) -> str:
    """Name all that decides how decoding ends: versions of libraries and of ours, the budget."""
    versions = (f"{name}/{_version(name)}" for name in _DECODERS)
    budget = f"{plan.limits.seconds:g}s/{plan.limits.memory_bytes >> 20}MiB"
    return " ".join((f"hashwacht/{_version('hashwacht')}", *versions, budget))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


class InMemory:
    """Remembers for one process: where there is no state."""

    _MOST = 10_000

    def __init__(self) -> None:
        self._lock = Lock()
        self._deeds: Counter[str] = Counter()
        self._reasons: dict[str, Reason] = {}

    def use(self, decoder: str) -> None:
        """There is only one in a process."""

    def barred(self, key: str) -> Reason | None:
        """Say what it did, if it did it twice."""
        with self._lock:
            return self._reasons.get(key) if self._deeds[key] >= CHANCES else None

    def blame(self, key: str, reason: Reason) -> None:
        """Note it; of too many, all are forgotten rather than memory filled."""
        with self._lock:
            if len(self._reasons) >= self._MOST:
                self._deeds.clear()
                self._reasons.clear()
            self._deeds[key] += 1
            self._reasons[key] = reason

"""What the answers of workers, or their deaths, mean for a content.

Contents that ended their workers: what counts as that, and with what it would happen again.
"""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter
from collections.abc import Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from threading import Lock

from hashwacht.core.ports import CHANCES, SignalType
from hashwacht.core.signals import BUILT_IN, TextSignalType, signal_types
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.hashing.plan import Plan
from hashwacht.hashing.workers.protocol import Attempt, Codec, Failed, Nonsense, Reply, Unreadable
from hashwacht.hashing.workers.worker_client import Died, Late

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


def wanted_types(plan: Plan) -> dict[str, SignalType]:
    """Find what judges the form of the values that workers send."""
    commands = {name for name, _ in plan.commands if name not in BUILT_IN}
    found = signal_types(name for name in plan.types if name not in commands)
    return {n: TextSignalType(n) if n in commands else found[n] for n in plan.types}


def failed(reply: Reply) -> Failed:
    """Take what came in place of a look at a picture for a failure."""
    match reply:
        case Failed():
            return reply
        case Unreadable(errno=number):
            return Failed(Reason.HASHER_FAILED, os.strerror(number))
    return Failed(Reason.HASHER_FAILED)


def read(reply: Reply) -> Fingerprint:
    """Give the fingerprint.  Raises OSError if there is none."""
    match reply:
        case Fingerprint():
            return reply
        case Unreadable(errno=number):
            raise OSError(number, os.strerror(number))
        case Failed(reason=Reason.TIMED_OUT):
            raise OSError(errno.ETIMEDOUT, "the file system does not deliver")
        case Failed(detail=detail):
            raise OSError(errno.EIO, f"not even the digests could be computed: {detail}")
    raise OSError(errno.EIO, "not even the digests could be computed")


def blame(error: Died | Late | Nonsense, status: int | None) -> Failed:
    """Say what a content did to its worker."""
    if isinstance(error, Late):
        return Failed(Reason.TIMED_OUT, "no progress within its time")
    if isinstance(error, Nonsense):
        return Failed(Reason.WORKER_DIED, f"nonsense from its worker: {error}")
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGPROF:
            return Failed(Reason.TIMED_OUT, "its processor time is used up")
        return Failed(Reason.WORKER_DIED, error.detail or f"signal {number}")
    return Failed(Reason.WORKER_DIED, error.detail or "its worker ended")


def codecs(
    plan: Plan,
    types: Mapping[str, SignalType],
    recipe: tuple[str, ...],
    digests: Collection[str],
) -> Mapping[Attempt, Codec]:
    """Give what decodes the answers to each kind of attempt."""
    programs = {name for name, _ in plan.commands}
    others = {name: each for name, each in types.items() if name not in digests}
    by_programs = {name: each for name, each in others.items() if name in programs}
    by_eye = {name: each for name, each in others.items() if name not in programs}
    return {
        Attempt.DIGESTS: Codec({name: types[name] for name in digests}, recipe, others),
        Attempt.COMMANDS: Codec(by_programs, None),
        Attempt.PICTURE: Codec(by_eye, None),
    }

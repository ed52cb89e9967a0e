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

from hashwacht.core.ports import MAX_CRASHES, SignalType
from hashwacht.core.signals import BUILT_IN, TextSignalType, signal_types
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.hashing.plan import Plan
from hashwacht.hashing.workers.protocol import (
    InvalidReply,
    Reply,
    ReplyDecoder,
    TaskFailure,
    Unreadable,
    WorkerKind,
)
from hashwacht.hashing.workers.worker_client import WorkerDied, WorkerTimeout

CRASH_REASONS = frozenset({Reason.WORKER_DIED, Reason.TIMED_OUT})

BLOCKED_DETAIL = "not decoded again: it did this before, to the same decoder"

_DECODERS = ("pillow", "pillow-heif")


def decoder(plan: Plan) -> str:
    """Name all that decides how decoding ends: versions of libraries and of ours, the budget."""
    versions = (f"{name}/{_version(name)}" for name in _DECODERS)
    budget = f"{plan.limits.timeout:g}s/{plan.limits.max_memory >> 20}MiB"
    return " ".join((f"hashwacht/{_version('hashwacht')}", *versions, budget))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


class MemoryCrashLog:
    """Remembers for one process: where there is no state."""

    _MOST = 10_000

    def __init__(self) -> None:
        self._lock = Lock()
        self._deeds: Counter[str] = Counter()
        self._reasons: dict[str, Reason] = {}

    def set_decoder(self, decoder: str) -> None:
        """There is only one in a process."""

    def block_reason(self, key: str) -> Reason | None:
        """Say what it did, if it did it twice."""
        with self._lock:
            return self._reasons.get(key) if self._deeds[key] >= MAX_CRASHES else None

    def record_crash(self, key: str, reason: Reason) -> None:
        """Note it; of too many, all are forgotten rather than memory filled."""
        with self._lock:
            if len(self._reasons) >= self._MOST:
                self._deeds.clear()
                self._reasons.clear()
            self._deeds[key] += 1
            self._reasons[key] = reason


def planned_signal_types(plan: Plan) -> dict[str, SignalType]:
    """Find what judges the form of the values that workers send."""
    commands = {name for name, _ in plan.commands if name not in BUILT_IN}
    found = signal_types(name for name in plan.types if name not in commands)
    return {n: TextSignalType(n) if n in commands else found[n] for n in plan.types}


def as_failure(reply: Reply) -> TaskFailure:
    """Take what came in place of a look at a picture for a failure."""
    match reply:
        case TaskFailure():
            return reply
        case Unreadable(errno=number):
            return TaskFailure(Reason.HASHER_FAILED, os.strerror(number))
    return TaskFailure(Reason.HASHER_FAILED)


def read(reply: Reply) -> Fingerprint:
    """Give the fingerprint.  Raises OSError if there is none."""
    match reply:
        case Fingerprint():
            return reply
        case Unreadable(errno=number):
            raise OSError(number, os.strerror(number))
        case TaskFailure(reason=Reason.TIMED_OUT):
            raise OSError(errno.ETIMEDOUT, "the file system does not deliver")
        case TaskFailure(detail=detail):
            raise OSError(errno.EIO, f"not even the digests could be computed: {detail}")
    raise OSError(errno.EIO, "not even the digests could be computed")


def failure_from_crash(
    error: WorkerDied | WorkerTimeout | InvalidReply, status: int | None
) -> TaskFailure:
    """Say what a content did to its worker."""
    if isinstance(error, WorkerTimeout):
        return TaskFailure(Reason.TIMED_OUT, "no progress within its time")
    if isinstance(error, InvalidReply):
        return TaskFailure(Reason.WORKER_DIED, f"nonsense from its worker: {error}")
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGPROF:
            return TaskFailure(Reason.TIMED_OUT, "its processor time is used up")
        return TaskFailure(Reason.WORKER_DIED, error.detail or f"signal {number}")
    return TaskFailure(Reason.WORKER_DIED, error.detail or "its worker ended")


def reply_decoders(
    plan: Plan,
    types: Mapping[str, SignalType],
    recipe: tuple[str, ...],
    digests: Collection[str],
) -> Mapping[WorkerKind, ReplyDecoder]:
    """Give what decodes the answers to each kind of attempt."""
    programs = {name for name, _ in plan.commands}
    others = {name: each for name, each in types.items() if name not in digests}
    by_programs = {name: each for name, each in others.items() if name in programs}
    by_eye = {name: each for name, each in others.items() if name not in programs}
    return {
        WorkerKind.DIGESTS: ReplyDecoder({name: types[name] for name in digests}, recipe, others),
        WorkerKind.COMMANDS: ReplyDecoder(by_programs, None),
        WorkerKind.PICTURE: ReplyDecoder(by_eye, None),
    }

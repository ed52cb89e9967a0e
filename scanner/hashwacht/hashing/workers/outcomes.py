"""What the replies of workers, or their crashes, mean for a content; which contents are blocked."""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from threading import Lock

from hashwacht.core.ports import MAX_CRASHES, SignalType
from hashwacht.core.signals import BUILT_IN, TextSignalType, signal_types
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.hashing import Plan
from hashwacht.hashing.workers.protocol import (
    PictureResult,
    Reply,
    ReplyDecoder,
    TaskFailure,
    Unreadable,
    WorkerKind,
)
from hashwacht.hashing.workers.worker_client import WorkerDied, WorkerTimeout
from hashwacht.ipc.codec import ProtocolError
from hashwacht.platform.safe_open import FileChanged

CRASH_REASONS = frozenset({Reason.WORKER_DIED, Reason.TIMED_OUT})

BLOCKED_DETAIL = "not decoded again: it did this before, to the same decoder"

_MAX_CRASHED_CONTENTS = 10_000


def decoder_id(plan: Plan) -> str:
    """Return the versions and the budget that decide whether decoding crashes."""
    packages = ("hashwacht", "pillow", "pillow-heif", "pillow-jxl-plugin")
    versions = (f"{name}/{_version(name)}" for name in packages)
    return " ".join((*versions, f"{plan.limits.timeout:g}s/{plan.limits.max_memory >> 20}MiB"))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


class MemoryCrashLog:
    """A ``CrashLog`` without storage, for one process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._crashes: Counter[str] = Counter()
        self._reasons: dict[str, Reason] = {}

    def set_decoder(self, decoder: str) -> None:
        """Do nothing: a process has only one decoder."""

    def block_reason(self, key: str) -> Reason | None:
        """Return the last reason of a content that has crashed too many workers."""
        with self._lock:
            return self._reasons.get(key) if self._crashes[key] >= MAX_CRASHES else None

    def record_crash(self, key: str, reason: Reason) -> None:
        """Record one crash; when there are too many contents, forget all of them."""
        with self._lock:
            if len(self._reasons) >= _MAX_CRASHED_CONTENTS:
                self._crashes.clear()
                self._reasons.clear()
            self._crashes[key] += 1
            self._reasons[key] = reason


def planned_signal_types(plan: Plan) -> dict[str, SignalType]:
    """Return the signal types of a plan, which check the values that workers send."""
    commands = {name for name, _ in plan.commands if name not in BUILT_IN}
    known = signal_types(name for name in plan.types if name not in commands)
    return {n: TextSignalType(n) if n in commands else known[n] for n in plan.types}


def picture_failure(reply: Reply) -> TaskFailure:
    """Return the failure in a reply that has no picture hashes."""
    match reply:
        case TaskFailure():
            return reply
        case Unreadable(errno=number):
            return TaskFailure(Reason.HASHER_FAILED, os.strerror(number))
    return TaskFailure(Reason.HASHER_FAILED)


def fingerprint_from_reply(reply: Reply) -> Fingerprint:
    """Return the fingerprint in a reply.  Raises OSError, FileChanged if there is none."""
    match reply:
        case Fingerprint():
            return reply
        case Unreadable(errno=number):
            raise OSError(number, os.strerror(number))
        case TaskFailure(reason=Reason.CHANGED, detail=detail):
            raise FileChanged(detail)
        case TaskFailure(reason=Reason.TIMED_OUT):
            raise OSError(errno.ETIMEDOUT, "the file system does not respond")
        case TaskFailure(detail=detail):
            raise OSError(errno.EIO, f"not even the digests could be computed: {detail}")
    raise OSError(errno.EIO, "not even the digests could be computed")


def combine(digests: Fingerprint, results: Sequence[PictureResult]) -> Fingerprint:
    """Return the digests with the picture hashes added."""
    return replace(
        digests,
        signals=(*digests.signals, *(signal for result in results for signal in result.signals)),
        skipped=(*digests.skipped, *(skip for result in results for skip in result.skipped)),
        damaged=any(result.damaged for result in results),
    )


def crash_failure(
    error: WorkerDied | WorkerTimeout | ProtocolError, status: int | None
) -> TaskFailure:
    """Return what a content did to its worker, which ended with the wait status *status*."""
    if isinstance(error, WorkerTimeout):
        return TaskFailure(Reason.TIMED_OUT, "no progress within the time limit")
    if isinstance(error, ProtocolError):
        return TaskFailure(Reason.WORKER_DIED, f"its worker sent an invalid reply: {error}")
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGPROF:
            return TaskFailure(Reason.TIMED_OUT, "its processor time is used up")
        return TaskFailure(Reason.WORKER_DIED, error.detail or f"signal {number}")
    return TaskFailure(Reason.WORKER_DIED, error.detail or "its worker ended")


def reply_decoders(
    plan: Plan, types: Mapping[str, SignalType], recipe: tuple[str, ...], digests: Collection[str]
) -> Mapping[WorkerKind, ReplyDecoder]:
    """Return the decoder of each worker kind's replies."""
    commands = {name for name, _ in plan.commands}
    others = {name: kind for name, kind in types.items() if name not in digests}
    by_commands = {name: others[name] for name in others if name in commands}
    by_decoders = {name: others[name] for name in others if name not in commands}
    return {
        WorkerKind.DIGESTS: ReplyDecoder({name: types[name] for name in digests}, recipe, others),
        WorkerKind.COMMANDS: ReplyDecoder(by_commands, None),
        WorkerKind.PICTURE: ReplyDecoder(by_decoders, None),
    }

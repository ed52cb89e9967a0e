"""The scanner's end of the nursery: start it, have workers born and buried."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from hashwacht.core.errors import WorkerError
from hashwacht.hashing.plan import Plan
from hashwacht.hashing.workers.protocol import WorkerKind, plan_to_fields
from hashwacht.hashing.workers.sandbox import WorkerLimits
from hashwacht.hashing.workers.worker_client import WorkerClient

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[3:];"
    "from hashwacht.hashing.workers.forkserver import main;"
    "main(int(sys.argv[1]), int(sys.argv[2]))"
)
"""With ``-I`` nothing of the environment or the working directory decides what is imported."""

_SLOWEST_START = 60.0
"""Seconds.  0.2 are usual; a cold disk at idle priority takes its time."""

_SLOWEST_END = 0.7
_LARGEST_MESSAGE = 64 << 10
_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH"})
"""All of the environment that decoders and operators' commands see: it may hold credentials."""

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Workers are what uses the cores; and only a process with one thread may fork."""

_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(32 << 20), "MALLOC_MMAP_THRESHOLD_": str(16 << 20)}
"""Bytes that glibc keeps between two contents (mallopt(3)).  By default it gives the memory of
every picture back and takes it anew: 555 page faults and 1.5 of 6 ms for a JPEG of 640x480."""


@dataclass(frozen=True, slots=True)
class ForkServerConfig:
    """What a nursery is to prepare.

    *maker* (``module:callable``) turns a plan and an attempt into a Part, over there; *room* is
    the most workers that may exist; *background* asks for the lowest priorities.
    """

    plan: Plan
    task_factory: str
    max_workers: int
    background: bool
    worker_limits: WorkerLimits


class ForkServerDied(WorkerError):
    """The nursery died.  Its workers died with it."""


class ForkServerClient:
    """One nursery process.  Thread-safe."""

    def __init__(self, order: ForkServerConfig) -> None:
        """Start it; it loads while we go on.  Raises WorkerError."""
        self._order = order
        self._lock = Lock()
        self._ready: list[Any] | None = None
        self._failed: ForkServerDied | None = None
        self._control, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = _start(theirs)
            except OSError as error:
                self._control.close()
                raise WorkerError(
                    f"cannot start {sys.executable!r}: {error}",
                    advice="Check the limit of processes (ulimit -u) and free memory.",
                ) from error
        self._control.settimeout(_SLOWEST_START)
        fields = asdict(order) | {"plan": plan_to_fields(order.plan)}
        self._control.send(json.dumps(fields).encode())

    def ready(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Wait until it is loaded; give the recipe and the names of the digests.

        Raises ForkServerDied if it could not load, with the last it said, however often it is
        asked.
        """
        with self._lock:
            if self._failed is not None:
                raise self._failed
            if self._ready is None:
                self._ready = self._first_answer()
            recipe, digests = self._ready
        return tuple(recipe), tuple(digests)

    def _first_answer(self) -> list[Any]:
        try:
            message = self._control.recv(_LARGEST_MESSAGE)
        except TimeoutError:
            message = b""
            self._process.kill()
        except OSError as error:  # closed by another thread
            raise _gone() from error
        assert self._process.stderr is not None
        with self._process.stderr as said:
            if message:
                answer: list[Any] = json.loads(message)
                return answer
            last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
        self._failed = ForkServerDied(
            f"the worker processes cannot be started: {last or 'no answer'}",
            advice="Run `hashwacht doctor`; it tries every decoder and limit by itself.",
        )
        raise self._failed

    def spawn(self, worker_kind: WorkerKind) -> WorkerClient:
        """Have a worker for *attempt* born.

        Raises ForkServerDied, or WorkerError if the system refuses.
        """
        self.ready()
        with self._lock:
            message, descriptors = self._request("spawn", worker_kind)
        match message:
            case [int(pid)]:
                link = socket.socket(fileno=descriptors[0])
                seconds = self._order.plan.limits.timeout
                worker = WorkerClient(pid, link, seconds, worker_kind)
                try:
                    worker.wait_ready()
                except BaseException:
                    self.reap(worker)
                    worker.close()
                    raise
                return worker
        raise WorkerError(
            f"no worker process can be started: {message[0]}",
            advice="Check the limit of processes (ulimit -u, TasksMax=) and free memory.",
        )

    def reap(self, worker: WorkerClient) -> int | None:
        """Have a worker killed, if it is not dead yet; give its wait status, None if unknown."""
        try:
            with self._lock:
                (status,), _ = self._request("reap", worker.pid)
        except ForkServerDied:
            return None
        return int(status) if status is not None else None

    def _request(self, *fields: object) -> tuple[list[Any], list[int]]:
        try:
            self._control.send(json.dumps(fields).encode())
            message, descriptors, _, _ = socket.recv_fds(
                self._control, _LARGEST_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC
            )
        except OSError as error:
            raise _gone() from error
        if not message:
            raise _gone()
        return json.loads(message), descriptors

    def close(self) -> None:
        """End it and all its workers, whatever they are doing, within a second."""
        self._control.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for an answer, too
        try:
            self._process.wait(_SLOWEST_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._lock:
            self._control.close()
        if self._process.stderr is not None:
            self._process.stderr.close()


def _gone() -> ForkServerDied:
    return ForkServerDied(
        "the process that starts workers has died",
        advice="Look in the system's log for what killed it, then start the command again.",
    )


def _start(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """Run the nursery in a session of its own, so that no terminal's ^C reaches it."""
    number = theirs.fileno()
    absolute: Sequence[str] = [each for each in sys.path if Path(each).is_absolute()]
    passed = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
    return subprocess.Popen(  # noqa: S603 - our own interpreter, our own code
        [sys.executable, "-I", "-c", _PROGRAM, str(number), str(os.getpid()), *absolute],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=passed | _ONE_THREAD | _KEEP_MEMORY,
        pass_fds=[number],
        start_new_session=True,
    )

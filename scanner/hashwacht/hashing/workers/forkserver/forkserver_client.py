"""The scanner's end of the fork server: starts it, and has it spawn and reap workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from hashwacht.core.errors import WorkerError
from hashwacht.hashing.workers.forkserver.forkserver_protocol import (
    MAX_CONTROL_MESSAGE,
    ControlReply,
    ControlRequest,
    ForkServerConfig,
    LoadedReply,
    ReapReply,
    ReapRequest,
    SpawnFailureReply,
    SpawnReply,
    SpawnRequest,
    reply_decoder,
)
from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.worker_client import WorkerClient
from hashwacht.ipc.codec import ProtocolError, encode

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[3:];"
    "from hashwacht.hashing.workers.forkserver.forkserver import main;"
    "main(int(sys.argv[1]), int(sys.argv[2]))"
)
"""With ``-I`` neither the environment nor the working directory decides what is imported."""

_START_TIMEOUT = 60.0
"""Seconds.  0.2 are usual; a cold disk at idle priority takes longer."""

_STOP_TIMEOUT = 0.7
_INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
"""All of the environment that decoders and operators' commands see: it may hold credentials."""

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""The workers already occupy all cores; and only a process with one thread may fork."""

_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(32 << 20), "MALLOC_MMAP_THRESHOLD_": str(16 << 20)}
"""Bytes that glibc keeps between two contents (mallopt(3)).  By default it returns the memory of
every picture to the kernel: 555 page faults and 1.5 of 6 ms for a JPEG of 640x480."""


class ForkServerDied(WorkerError):
    """The fork server has ended, and its workers with it."""


class ForkServerClient:
    """One fork server process.  Thread-safe."""

    def __init__(self, config: ForkServerConfig) -> None:
        """Start the process without waiting until it has loaded everything.  Raises WorkerError."""
        self._config = config
        self._lock = Lock()
        self._server_info: LoadedReply | None = None
        self._failure: ForkServerDied | None = None
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
        self._control.settimeout(_START_TIMEOUT)
        self._control.send(encode(config))

    def ready(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Wait until everything is loaded; return the recipe and the names of the digests.

        Raises ForkServerDied if loading failed, with the last line of its error output.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._server_info is None:
                self._server_info = self._receive_server_info()
            return self._server_info.recipe, self._server_info.digests

    def _receive_server_info(self) -> LoadedReply:
        try:
            message = self._control.recv(MAX_CONTROL_MESSAGE)
        except TimeoutError:
            message = b""
            self._process.kill()
        except OSError as error:  # closed by another thread
            raise _died() from error
        assert self._process.stderr is not None
        with self._process.stderr as output:
            if message:
                reply = reply_decoder.decode(message)
                assert isinstance(reply, LoadedReply)
                return reply
            last_line = output.read().decode(errors="replace").strip().rpartition("\n")[2]
        self._failure = ForkServerDied(
            f"the worker processes cannot be started: {last_line or 'no answer'}",
            advice="Run `hashwacht doctor`, which tests every decoder and limit separately.",
        )
        raise self._failure

    def spawn(self, worker_kind: WorkerKind) -> WorkerClient:
        """Fork a worker and return it when its sandbox is active.

        Raises ForkServerDied, or WorkerError if the system refuses.
        """
        self.ready()
        with self._lock:
            reply, descriptors = self._request(SpawnRequest(worker_kind))
        if isinstance(reply, SpawnFailureReply):
            raise WorkerError(
                f"no worker process can be started: {reply.problem}",
                advice="Check the limit of processes (ulimit -u, TasksMax=) and free memory.",
            )
        assert isinstance(reply, SpawnReply)
        link = socket.socket(fileno=descriptors[0])
        worker = WorkerClient(reply.pid, link, self._config.plan.limits.timeout, worker_kind)
        try:
            worker.wait_ready()
        except BaseException:
            self.reap(worker)
            worker.close()
            raise
        return worker

    def reap(self, worker: WorkerClient) -> int | None:
        """Kill a worker unless it has ended; return its wait status, None if unknown."""
        try:
            with self._lock:
                reply, _ = self._request(ReapRequest(worker.pid))
        except ForkServerDied:
            return None
        assert isinstance(reply, ReapReply)
        return reply.status

    def _request(self, request: ControlRequest) -> tuple[ControlReply, list[int]]:
        try:
            self._control.send(encode(request))
            message, descriptors, _, _ = socket.recv_fds(
                self._control, MAX_CONTROL_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC
            )
            return reply_decoder.decode(message), descriptors
        except (OSError, ProtocolError) as error:  # a closed socket delivers an empty message
            raise _died() from error

    def close(self) -> None:
        """Stop the process and all its workers, whatever they are doing, within a second."""
        self._control.shutdown(socket.SHUT_RDWR)  # also wakes threads that wait for an answer
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._lock:
            self._control.close()
        if self._process.stderr is not None:
            self._process.stderr.close()


def _died() -> ForkServerDied:
    return ForkServerDied(
        "the process that starts workers has died",
        advice="Look in the system log for what killed it, then start the command again.",
    )


def _start(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """Run the fork server in a session of its own, so that no terminal's ^C reaches it."""
    number = theirs.fileno()
    search_path: Sequence[str] = [entry for entry in sys.path if Path(entry).is_absolute()]
    inherited = {name: value for name, value in os.environ.items() if name in _INHERITED_VARIABLES}
    return subprocess.Popen(  # noqa: S603 - our own interpreter, our own code
        [sys.executable, "-I", "-c", _PROGRAM, str(number), str(os.getpid()), *search_path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=inherited | _ONE_THREAD | _KEEP_MEMORY,
        pass_fds=[number],
        start_new_session=True,
    )

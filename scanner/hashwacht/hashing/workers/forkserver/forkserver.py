"""The fork server: a small process that has everything loaded and forks workers on request.

A fork costs a few milliseconds, where a fresh interpreter needs a quarter of a second to import
the decoders.  The fork server never reads a content.  It is a program of its own and not
multiprocessing's: forkserver and spawn import the caller's ``__main__`` again (inside a web server
that is the web server), fork copies the caller's threads and secrets.
"""

from __future__ import annotations

import gc
import io
import os
import pkgutil
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from hashwacht.core.types import ArchiveMode
from hashwacht.hashing.formats import import_decoders
from hashwacht.hashing.in_process import InProcessFingerprinter, trim_memory
from hashwacht.hashing.workers.archive_worker import UnpackTask
from hashwacht.hashing.workers.forkserver.forkserver_protocol import (
    MAX_CONTROL_MESSAGE,
    ControlReply,
    ForkServerConfig,
    LoadedReply,
    ReapReply,
    SpawnFailureReply,
    SpawnReply,
    SpawnRequest,
    config_decoder,
    request_decoder,
)
from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.tasks import TaskResult, WorkerTask, worker_plan
from hashwacht.hashing.workers.worker import run_worker
from hashwacht.ipc.codec import encode
from hashwacht.platform.process import become_subreaper, kill_with_parent, lower_priority

KILL_TIMEOUT_MS = 500
"""How long a killed worker may take to end before it counts as hanging."""

_ORPHAN_GENERATIONS = 3
"""How many levels of a dead worker's descendants are killed."""

_IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""The scanner handles ^C and a service stop; it stops this process by closing the socket."""

_SAMPLE_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")
_SAMPLE_TEXT = b"plain text without any known signature\n"


def main(control_fd: int, parent: int) -> None:
    """Serve the scanner *parent* over the socket *control_fd* until either is gone."""
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    become_subreaper()
    control = socket.socket(fileno=control_fd)
    config = config_decoder.decode(control.recv(MAX_CONTROL_MESSAGE))
    if config.background:
        lower_priority()
    scanner = os.pidfd_open(parent)
    if os.getppid() != parent:
        return
    fork_server = ForkServer(control, scanner, config)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # decoders print warnings
    try:
        fork_server.serve()
    finally:
        fork_server.close()


class ForkServer:
    """The loaded tasks and the workers that were forked with them."""

    def __init__(self, control: socket.socket, parent: int, config: ForkServerConfig) -> None:
        """Load everything and report that; *parent* is a pidfd of the scanner."""
        self._control, self._parent, self._config = control, parent, config
        self._pid = os.getpid()
        self._workers: set[int] = set()
        plan, make_task = config.plan, pkgutil.resolve_name(config.task_factory)
        self._tasks: dict[WorkerKind, WorkerTask] = {
            kind: make_task(plan, kind)
            for kind in WorkerKind
            if kind is not WorkerKind.ARCHIVE and (plan.commands or kind is not WorkerKind.COMMANDS)
        }
        self._unpack_task = UnpackTask(plan.archives, plan.archive_limits)
        preload(self._tasks[WorkerKind.DIGESTS], self._tasks[WorkerKind.PICTURE])
        if plan.archives is not ArchiveMode.OFF:
            self._unpack_task.preload()
        digests = worker_plan(plan, WorkerKind.DIGESTS).types
        self._reply(LoadedReply(InProcessFingerprinter(plan).recipe, digests))
        gc.collect()
        trim_memory()  # every worker would start with it
        gc.freeze()  # a collection in a worker would copy every page that it touches

    def serve(self) -> None:
        """Answer control messages until the scanner is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._parent, select.POLLIN)
        while self._parent not in dict(poll.poll()):
            message = self._control.recv(MAX_CONTROL_MESSAGE)
            if not message:
                return
            request = request_decoder.decode(message)
            if isinstance(request, SpawnRequest):
                self._spawn(request.kind)
            else:
                self._reply(ReapReply(self._reap(request.pid)))

    def close(self) -> None:
        """Kill all workers."""
        for pid in list(self._workers):
            self._reap(pid)

    def _spawn(self, worker_kind: WorkerKind) -> None:
        if len(self._workers) >= self._config.max_workers:
            problem = "too many workers hang in the kernel and cannot be killed"
            self._reply(SpawnFailureReply(problem))
            return
        ours, theirs = socket.socketpair()
        with ours, theirs:
            try:
                pid = os.fork()
            except OSError as error:
                self._reply(SpawnFailureReply(str(error)))
                return
            if pid == 0:
                ours.close()
                self._run_worker(theirs, worker_kind)
            self._workers.add(pid)
            socket.send_fds(self._control, [encode(SpawnReply(pid))], [ours.fileno()])

    def _run_worker(self, link: socket.socket, worker_kind: WorkerKind) -> NoReturn:
        try:
            kill_with_parent(self._pid)
            self._control.close()
            os.close(self._parent)
            plan, limits = self._config.plan, self._config.worker_limits
            task = self._tasks.get(worker_kind, self._unpack_task)
            run_worker(link, plan, worker_kind, task, limits)
        finally:
            os._exit(0)

    def _reap(self, pid: int) -> int | None:
        """Kill a worker and its descendants; return its wait status, None if it does not end."""
        status = _kill_child(pid) if pid in self._workers else None
        if status is not None:
            self._workers.discard(pid)
            for _ in range(_ORPHAN_GENERATIONS):  # a subreaper adopts its orphans, then theirs
                for orphan in _children() - self._workers:
                    _kill_child(orphan)
        return status

    def _reply(self, reply: ControlReply) -> None:
        self._control.send(encode(reply))


def _kill_child(pid: int) -> int | None:
    """Kill a child process and return its wait status; None if it hangs in the kernel.

    The number cannot belong to another process: it is free only after waitpid.
    """
    os.kill(pid, signal.SIGKILL)
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(KILL_TIMEOUT_MS)
    finally:
        os.close(pidfd)
    ended, status = os.waitpid(pid, os.WNOHANG)
    return status if ended else None


def _children() -> set[int]:
    """Return the children of this process (proc(5)); empty if the kernel does not list them."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    try:
        return {int(pid) for pid in children.read_text().split()}
    except OSError:
        return set()


def preload(digest_task: WorkerTask, picture_task: WorkerTask) -> None:
    """Load everything that decoding needs by processing one sample of each format.

    Libraries initialize parts of themselves at the first picture of a format, and OpenBLAS maps its
    working memory at the first matrix product (under a tight RLIMIT_AS it then retries for ever).
    Workers that are forked afterwards start faster, share the memory, and open no file but the
    content.  Each sample is also processed truncated.  Raises what the tasks raise.
    """
    import_decoders()
    _disable_decoder_threads()
    for sample in (_SAMPLE_TEXT, *_sample_pictures()):
        for content in (sample, sample[: len(sample) * 2 // 3]):
            _, copy = _process_sample(digest_task, content)
            if copy is not None:
                try:
                    picture_task.run(copy)
                finally:
                    os.close(copy)


def _process_sample(task: WorkerTask, content: bytes) -> TaskResult:
    fd = os.memfd_create("sample")
    try:
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        return task.run(fd)
    finally:
        os.close(fd)


def _disable_decoder_threads() -> None:
    """Keep decoders from starting threads: the workers already occupy all cores."""
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with suppress(ImportError):  # HEIC is an extra
        import_module("pillow_heif").options.DECODE_THREADS = 1


def _sample_pictures() -> Iterator[bytes]:
    """Yield a gradient, large enough for every hash, in each format that this Pillow writes."""
    from PIL import Image, features

    gradient = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    for name in _SAMPLE_FORMATS:
        if name == "AVIF" and not features.check("avif"):
            continue
        file = io.BytesIO()
        gradient.save(file, name, **({"speed": 10, "max_threads": 1} if name == "AVIF" else {}))
        yield file.getvalue()

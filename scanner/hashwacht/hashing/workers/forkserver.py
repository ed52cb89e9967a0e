"""The nursery: a small process that has everything loaded and forks workers on request.

A fork of it costs a few milliseconds, where a fresh interpreter would take a quarter of a
second to import the decoders.  It never touches a content itself.  It is started as a program
of its own, not by multiprocessing: forkserver and spawn import the caller's ``__main__`` again
(inside a web server that is the web server), fork copies the caller's threads and secrets.

Control messages, one per packet, JSON: first the order (plan, maker, …) and its answer; then
``["spawn", attempt]`` → ``[pid]`` with the worker's socket beside it, and ``["reap", pid]`` →
``[status]``.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from hashwacht.hashing.in_process import InProcessFingerprinter, trim_memory
from hashwacht.hashing.workers.preload import preload
from hashwacht.hashing.workers.protocol import WorkerKind, plan_from_fields
from hashwacht.hashing.workers.sandbox import WorkerLimits
from hashwacht.hashing.workers.tasks import WorkerTask, worker_plan
from hashwacht.hashing.workers.worker import run_worker
from hashwacht.platform.process import become_subreaper, kill_with_parent, lower_priority

MAX_CONTROL_MESSAGE = 64 << 10
"""Bytes of one control message."""

_GENERATIONS = 3
"""How deep the orphans of a dead worker are looked for."""

KILL_TIMEOUT_MS = 500
"""How long a killed worker may take to die before the scanner is told that it hangs."""

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""^C and a service stop are the scanner's to handle; it ends us by closing our socket."""


def main(control_fd: int, parent: int) -> None:
    """Serve the scanner *parent* over the socket *control_fd* until either is gone."""
    for each in _IGNORED:
        signal.signal(each, signal.SIG_IGN)
    become_subreaper()
    control = socket.socket(fileno=control_fd)
    order = json.loads(control.recv(MAX_CONTROL_MESSAGE))
    if order["background"]:
        lower_priority()
    watched = os.pidfd_open(parent)
    if os.getppid() != parent:
        return
    fork_server = ForkServer(control, watched, order)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # decoders chatter
    try:
        fork_server.serve()
    finally:
        fork_server.close()


class ForkServer:
    """The prepared parts of the work and the workers that were forked with them."""

    def __init__(self, control: socket.socket, parent: int, order: dict[str, Any]) -> None:
        """Load everything and say so; *parent* is a pidfd of the scanner."""
        self._control = control
        self._parent = parent
        self._pid = os.getpid()
        self._plan = plan_from_fields(order["plan"])
        self._worker_limits = WorkerLimits(**order["worker_limits"])
        self._max_workers = int(order["max_workers"])
        self._workers: set[int] = set()
        make = pkgutil.resolve_name(order["task_factory"])
        wanted = [
            each for each in WorkerKind if self._plan.commands or each is not WorkerKind.COMMANDS
        ]
        self._parts: dict[WorkerKind, WorkerTask] = {
            each: make(self._plan, each) for each in wanted
        }
        preload(self._parts[WorkerKind.DIGESTS], self._parts[WorkerKind.PICTURE])
        digests = worker_plan(self._plan, WorkerKind.DIGESTS).types
        self._answer(InProcessFingerprinter(self._plan).recipe, digests)
        gc.collect()
        trim_memory()  # a worker would have it from the beginning, and beside its pictures
        gc.freeze()  # a collection in a worker would copy every page it looks at

    def serve(self) -> None:
        """Answer control messages until the scanner is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._parent, select.POLLIN)
        while self._parent not in dict(poll.poll()):
            message = self._control.recv(MAX_CONTROL_MESSAGE)
            match json.loads(message or b"null"):
                case ["spawn", int(worker_kind)]:
                    self._spawn(WorkerKind(worker_kind))
                case ["reap", int(pid)]:
                    self._answer(self._reap(pid))
                case _:
                    return

    def close(self) -> None:
        """Take everybody with us."""
        for pid in list(self._workers):
            self._reap(pid)

    def _spawn(self, worker_kind: WorkerKind) -> None:
        """Fork a worker for *attempt* and hand over the other end of its socket."""
        if len(self._workers) >= self._max_workers:
            self._answer("too many workers hang in the kernel and cannot be killed")
            return
        ours, theirs = socket.socketpair()
        with ours, theirs:
            try:
                pid = os.fork()
            except OSError as error:
                self._answer(str(error))
                return
            if pid == 0:
                ours.close()
                self._run_worker(theirs, worker_kind)
            self._workers.add(pid)
            socket.send_fds(self._control, [json.dumps([pid]).encode()], [ours.fileno()])

    def _run_worker(self, link: socket.socket, worker_kind: WorkerKind) -> NoReturn:
        """Be a worker.  Never returns into the nursery's own business."""
        try:
            kill_with_parent(self._pid)
            self._control.close()
            os.close(self._parent)
            run_worker(link, self._plan, worker_kind, self._parts[worker_kind], self._worker_limits)
        finally:
            os._exit(0)

    def _reap(self, pid: int) -> int | None:
        """Kill a worker and what it started; give its wait status, None if it does not die."""
        status = _end(pid) if pid in self._workers else None
        if status is not None:
            self._workers.discard(pid)
            for _ in range(_GENERATIONS):  # its orphans are our children now, then theirs
                for stray in _children() - self._workers:
                    _end(stray)
        return status

    def _answer(self, *fields: object) -> None:
        self._control.send(json.dumps(fields).encode())


def _end(pid: int) -> int | None:
    """Kill a child and give its wait status; None if it hangs in the kernel.

    It cannot be a stranger: a child keeps its number until somebody has waited for it.
    """
    os.kill(pid, signal.SIGKILL)
    death = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(death, select.POLLIN)
        poll.poll(KILL_TIMEOUT_MS)
    finally:
        os.close(death)
    done, status = os.waitpid(pid, os.WNOHANG)
    return status if done else None


def _children() -> set[int]:
    """Give the processes whose parent we are (proc(5); empty if the kernel does not list them)."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    try:
        return {int(each) for each in listed.read_text().split()}
    except OSError:
        return set()

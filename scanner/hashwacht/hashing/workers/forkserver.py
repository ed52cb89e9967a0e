"""The nursery: a small process that has everything loaded and forks workers on request.

A fork of it costs a few milliseconds, where a fresh interpreter would take a quarter of a
second to import the decoders.  It never touches a content itself.  It is started as a program
of its own, not by multiprocessing: forkserver and spawn import the caller's ``__main__`` again
(inside a web server that is the web server), fork copies the caller's threads and secrets.

Control messages, one per packet, JSON: first the order (plan, maker, …) and its answer; then
``["bear", attempt]`` → ``[pid]`` with the worker's socket beside it, and ``["bury", pid]`` →
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

from hashwacht.hashing.in_process import InProcess, give_back
from hashwacht.hashing.workers.preload import warm_up
from hashwacht.hashing.workers.protocol import Attempt, plan_from_fields
from hashwacht.hashing.workers.sandbox import Stamina, become_reaper, die_with
from hashwacht.hashing.workers.tasks import Part, share
from hashwacht.hashing.workers.worker import live
from hashwacht.platform.process import give_way

LARGEST_ORDER = 64 << 10
"""Bytes of one control message."""

_GENERATIONS = 3
"""How deep the orphans of a dead worker are looked for."""

LAST_WORDS_MS = 500
"""How long a killed worker may take to die before the scanner is told that it hangs."""

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""^C and a service stop are the scanner's to handle; it ends us by closing our socket."""


def main(control_fd: int, parent: int) -> None:
    """Serve the scanner *parent* over the socket *control_fd* until either is gone."""
    for each in _IGNORED:
        signal.signal(each, signal.SIG_IGN)
    become_reaper()
    control = socket.socket(fileno=control_fd)
    order = json.loads(control.recv(LARGEST_ORDER))
    if order["background"]:
        give_way()
    watched = os.pidfd_open(parent)
    if os.getppid() != parent:
        return
    nursery = Nursery(control, watched, order)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # decoders chatter
    try:
        nursery.serve()
    finally:
        nursery.close()


class Nursery:
    """The prepared parts of the work and the workers that were forked with them."""

    def __init__(self, control: socket.socket, parent: int, order: dict[str, Any]) -> None:
        """Load everything and say so; *parent* is a pidfd of the scanner."""
        self._control = control
        self._parent = parent
        self._pid = os.getpid()
        self._plan = plan_from_fields(order["plan"])
        self._stamina = Stamina(**order["stamina"])
        self._room = int(order["room"])
        self._workers: set[int] = set()
        make = pkgutil.resolve_name(order["maker"])
        wanted = [each for each in Attempt if self._plan.commands or each is not Attempt.COMMANDS]
        self._parts: dict[Attempt, Part] = {each: make(self._plan, each) for each in wanted}
        warm_up(self._parts[Attempt.DIGESTS], self._parts[Attempt.PICTURE])
        digests = share(self._plan, Attempt.DIGESTS).types
        self._answer(InProcess(self._plan).recipe, digests)
        gc.collect()
        give_back()  # a worker would have it from the beginning, and beside its pictures
        gc.freeze()  # a collection in a worker would copy every page it looks at

    def serve(self) -> None:
        """Answer control messages until the scanner is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._parent, select.POLLIN)
        while self._parent not in dict(poll.poll()):
            message = self._control.recv(LARGEST_ORDER)
            match json.loads(message or b"null"):
                case ["bear", int(attempt)]:
                    self._bear(Attempt(attempt))
                case ["bury", int(pid)]:
                    self._answer(self._bury(pid))
                case _:
                    return

    def close(self) -> None:
        """Take everybody with us."""
        for pid in list(self._workers):
            self._bury(pid)

    def _bear(self, attempt: Attempt) -> None:
        """Fork a worker for *attempt* and hand over the other end of its socket."""
        if len(self._workers) >= self._room:
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
                self._live(theirs, attempt)
            self._workers.add(pid)
            socket.send_fds(self._control, [json.dumps([pid]).encode()], [ours.fileno()])

    def _live(self, link: socket.socket, attempt: Attempt) -> NoReturn:
        """Be a worker.  Never returns into the nursery's own business."""
        try:
            die_with(self._pid)
            self._control.close()
            os.close(self._parent)
            live(link, self._plan, attempt, self._parts[attempt], self._stamina)
        finally:
            os._exit(0)

    def _bury(self, pid: int) -> int | None:
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
        poll.poll(LAST_WORDS_MS)
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

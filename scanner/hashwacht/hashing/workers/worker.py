"""The main loop of a worker: receives open contents, runs its task on each, sends the answers.

The task (:mod:`hashwacht.hashing.workers.tasks`) decides what is computed.  No failure is silent:
what a worker can still report is part of its reply, and a crash is visible to the scanner.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence

from hashwacht.core.types import Reason
from hashwacht.hashing import Plan
from hashwacht.hashing.workers.archive_worker import UnpackTask, serve_archives
from hashwacht.hashing.workers.protocol import (
    ANSWER,
    EXITING,
    REQUEST,
    Reply,
    TaskFailure,
    Unreadable,
    WorkerKind,
    encode,
)
from hashwacht.hashing.workers.sandbox import WorkerBudget, WorkerLimits, confine
from hashwacht.hashing.workers.small.small_protocol import MAX_SMALL_BATCH, encode_small
from hashwacht.hashing.workers.tasks import WorkerTask
from hashwacht.ipc.codec import encode as encode_message
from hashwacht.platform.safe_open import FileChanged

_OWN_LIMIT_ERRORS = frozenset({errno.ENOMEM, errno.EMFILE, errno.EAGAIN, errno.EFBIG})
"""Errors that the limits of :func:`confine` cause, not the file system."""

WORKER_READY = b"+"
"""First byte of a worker's first message once it is sandboxed; the layers (:data:`SandboxLayers`,
encoded) follow.  Any other message is the error that prevented it."""


def run_worker(
    link: socket.socket,
    plan: Plan,
    worker_kind: WorkerKind,
    task: WorkerTask | UnpackTask,
    worker_limits: WorkerLimits,
) -> None:
    """Confine this process, report the active layers, and serve requests."""
    try:
        budget = WorkerBudget(plan.limits.timeout, worker_limits)
        layers = confine(plan, worker_kind)
    except OSError as error:
        link.sendall(str(error).encode())
        return
    link.sendall(WORKER_READY + encode_message(dict(layers)))
    if isinstance(task, UnpackTask):
        serve_archives(link, task, budget)
    else:
        encoder = encode_small if worker_kind is WorkerKind.SMALL else encode
        serve(link, task, budget, encoder)


def serve(
    link: socket.socket,
    task: WorkerTask,
    budget: WorkerBudget,
    encoder: Callable[[Sequence[Reply]], bytes] = encode,
) -> None:
    """Answer requests until the stream ends or the :class:`WorkerBudget` is used up.

    A request is a batch of open contents and has one answer.  Raises OSError if
    *link* breaks, ValueError for anything but a request.
    """
    exiting = False
    while not exiting:
        request, fds, _, _ = socket.recv_fds(
            link, REQUEST.size, MAX_SMALL_BATCH, socket.MSG_CMSG_CLOEXEC
        )
        if not request:
            return
        if len(request) != REQUEST.size or not fds:
            raise ValueError("not a request with open files")
        (number,) = REQUEST.unpack(request)
        replies, copies, copied = list[Reply](), list[int](), 0
        for at, fd in enumerate(fds):
            try:
                budget.begin(fd)
                reply, copy = _run_task(task, fd)
            finally:
                os.close(fd)
            replies.append(reply)
            if copy is not None:
                copies.append(copy)
                copied |= 1 << at
        exiting = budget.exhausted()
        body = encoder(replies)
        _send(link, ANSWER.pack(len(body), number, exiting * EXITING, copied) + body, copies)


def _send(link: socket.socket, answer: bytes, copies: list[int]) -> None:
    try:
        sent = socket.send_fds(link, [answer], copies) if copies else 0
    finally:
        for copy in copies:
            os.close(copy)
    if sent < len(answer):
        link.sendall(memoryview(answer)[sent:])


def _run_task(task: WorkerTask, fd: int) -> tuple[Reply, int | None]:
    try:
        return task.run(fd)
    except MemoryError:
        return TaskFailure(Reason.OVER_LIMIT, "more memory than a worker may have"), None
    except FileChanged as error:
        return TaskFailure(Reason.CHANGED, error.message), None
    except OSError as error:
        if error.errno is None or error.errno in _OWN_LIMIT_ERRORS:
            return TaskFailure(Reason.OVER_LIMIT, str(error)), None
        return Unreadable(error.errno), None
    except Exception as error:  # noqa: BLE001 - every failure becomes undetermined, none is silent
        return TaskFailure(Reason.HASHER_FAILED, f"{type(error).__name__}: {error}"), None

"""What runs in a worker: take an open content, give back what it is asked for, until told to end.

Knows nothing of pictures: it is handed the part of the work that it is to do.  Nothing that
goes wrong with a content is lost in silence: what can still be said is said in the reply, and
whoever waits for a worker that died of it knows that too.
"""

from __future__ import annotations

import errno
import json
import os
import socket

from hashwacht.core.types import Reason
from hashwacht.hashing.plan import Plan
from hashwacht.hashing.workers.protocol import (
    ANSWER,
    EXITING,
    HAS_COPY,
    MAX_BATCH,
    REQUEST,
    Reply,
    TaskFailure,
    Unreadable,
    WorkerKind,
    encode,
)
from hashwacht.hashing.workers.sandbox import WorkerBudget, WorkerLimits, confine
from hashwacht.hashing.workers.tasks import WorkerTask

_OUR_OWN_LIMITS = frozenset({errno.ENOMEM, errno.EMFILE, errno.EAGAIN, errno.EFBIG})
"""What the kernel says when :func:`confine` bites; the file system did not refuse anything."""


WORKER_READY = b"+"
"""First bytes of a worker once it is sandboxed; the active layers follow (:data:`SandboxLayers`, in
JSON); anything else is why it could not be."""


def run_worker(
    link: socket.socket,
    plan: Plan,
    worker_kind: WorkerKind,
    part: WorkerTask,
    worker_limits: WorkerLimits,
) -> None:
    """Be a worker: confine this process, say so and how far, and serve."""
    try:
        budget = WorkerBudget(plan.limits.timeout, worker_limits)
        layers = confine(plan, worker_kind)
    except OSError as error:
        link.sendall(str(error).encode())
        return
    link.sendall(WORKER_READY + json.dumps(layers).encode())
    serve(link, part, budget)


def serve(link: socket.socket, part: WorkerTask, budget: WorkerBudget) -> None:
    """Answer requests until the stream ends or the :class:`WorkerBudget` is used up.

    Raises OSError if *link* breaks, ValueError if it brings something else than a request.
    """
    over = False
    while not over:
        request, fds, _, _ = socket.recv_fds(link, REQUEST.size, MAX_BATCH, socket.MSG_CMSG_CLOEXEC)
        if not request:
            return
        if len(request) != REQUEST.size or not fds:
            raise ValueError("not a request with open files")
        (number,) = REQUEST.unpack(request)
        answers, copies = bytearray(), list[int]()
        for fd in fds:
            try:
                budget.begin(fd)
                reply, copy = _work(part, fd)
            finally:
                os.close(fd)
            copies += [] if copy is None else [copy]
            over = budget.exhausted() or over
            body, flags = encode(reply), over * EXITING | (copy is not None) * HAS_COPY
            answers += ANSWER.pack(len(body), number & 0xFFFFFFFF, flags) + body
            number += 1
        _answer(link, answers, copies)


def _answer(link: socket.socket, answers: bytearray, copies: list[int]) -> None:
    """Send answers, and the copies beside their first byte."""
    try:
        sent = socket.send_fds(link, [answers], copies) if copies else 0
    finally:
        for each in copies:
            os.close(each)
    if sent < len(answers):
        link.sendall(memoryview(answers)[sent:])


def _work(part: WorkerTask, fd: int) -> tuple[Reply, int | None]:
    """Do one content; an exception becomes a reason."""
    try:
        return part.run(fd)
    except MemoryError:
        return TaskFailure(Reason.OVER_LIMIT, "more memory than a worker may have"), None
    except OSError as error:
        if error.errno is None or error.errno in _OUR_OWN_LIMITS:
            return TaskFailure(Reason.OVER_LIMIT, str(error)), None
        return Unreadable(error.errno), None
    except Exception as error:  # noqa: BLE001  # law 2: unanswered is undetermined
        return TaskFailure(Reason.HASHER_FAILED, f"{type(error).__name__}: {error}"), None

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
    COPIED,
    OVER,
    REQUEST,
    TOGETHER,
    Attempt,
    Failed,
    Reply,
    Unreadable,
    encode,
)
from hashwacht.hashing.workers.sandbox import Stamina, Upkeep, confine
from hashwacht.hashing.workers.tasks import Part

_OUR_OWN_LIMITS = frozenset({errno.ENOMEM, errno.EMFILE, errno.EAGAIN, errno.EFBIG})
"""What the kernel says when :func:`confine` bites; the file system did not refuse anything."""


BORN = b"+"
"""What a worker says once it is confined, before the layers that are active (:data:`Layers`, in
JSON); anything else is why it could not be."""


def live(link: socket.socket, plan: Plan, attempt: Attempt, part: Part, stamina: Stamina) -> None:
    """Be a worker: confine this process, say so and how far, and serve."""
    try:
        upkeep = Upkeep(plan.limits.seconds, stamina)
        layers = confine(plan, attempt)
    except OSError as error:
        link.sendall(str(error).encode())
        return
    link.sendall(BORN + json.dumps(layers).encode())
    serve(link, part, upkeep)


def serve(link: socket.socket, part: Part, upkeep: Upkeep) -> None:
    """Answer one request after the other; return at end of stream or when :class:`Upkeep` says.

    Raises OSError if *link* breaks, ValueError if it brings something else than a request.
    """
    over = False
    while not over:
        request, fds, _, _ = socket.recv_fds(link, REQUEST.size, TOGETHER, socket.MSG_CMSG_CLOEXEC)
        if not request:
            return
        if len(request) != REQUEST.size or not fds:
            raise ValueError("not a request with open files")
        (number,) = REQUEST.unpack(request)
        answers, copies = bytearray(), list[int]()
        for fd in fds:
            try:
                upkeep.begin(fd)
                reply, copy = _work(part, fd)
            finally:
                os.close(fd)
            copies += [] if copy is None else [copy]
            over = upkeep.over() or over
            body, flags = encode(reply), over * OVER | (copy is not None) * COPIED
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


def _work(part: Part, fd: int) -> tuple[Reply, int | None]:
    """Do one content; an exception becomes a reason."""
    try:
        return part.work(fd)
    except MemoryError:
        return Failed(Reason.OVER_LIMIT, "more memory than a worker may have"), None
    except OSError as error:
        if error.errno is None or error.errno in _OUR_OWN_LIMITS:
            return Failed(Reason.OVER_LIMIT, str(error)), None
        return Unreadable(error.errno), None
    except Exception as error:  # noqa: BLE001  # law 2: unanswered is undetermined
        return Failed(Reason.HASHER_FAILED, f"{type(error).__name__}: {error}"), None

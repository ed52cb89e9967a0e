"""What runs in a worker: take an open content, give back its fingerprint, until told to end.

Knows nothing of pictures: it is handed a Fingerprinter for each kind of attempt.  Nothing that
goes wrong with a content is lost in silence: what can still be said is said in the reply, and
whoever waits for a worker that died of it knows that too.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping

from hashwacht.fingerprint.confine import Stamina, Upkeep, confine
from hashwacht.fingerprint.plan import Plan
from hashwacht.fingerprint.wire import ANSWER, REQUEST, Attempt, Failed, Reply, Unreadable, encode
from hashwacht.ports import Fingerprinter
from hashwacht.types import Reason

_OUR_OWN_LIMITS = frozenset({errno.ENOMEM, errno.EMFILE, errno.EAGAIN, errno.EFBIG})
"""What the kernel says when :func:`confine` bites; the file system did not refuse anything."""


BORN = b"+"
"""What a worker says once it is confined; anything else is why it could not be."""


def live(
    link: socket.socket,
    plan: Plan,
    fingerprinters: Mapping[Attempt, Fingerprinter],
    stamina: Stamina,
) -> None:
    """Be a worker: confine this process, say so, and serve."""
    try:
        confine(plan)
        upkeep = Upkeep(plan.limits.seconds, stamina)
    except OSError as error:
        link.sendall(str(error).encode())
        return
    link.sendall(BORN)
    serve(link, fingerprinters, upkeep)


def serve(
    link: socket.socket, fingerprinters: Mapping[Attempt, Fingerprinter], upkeep: Upkeep
) -> None:
    """Answer one request after the other; return at end of stream or when :class:`Upkeep` says.

    Raises OSError if *link* breaks, ValueError if it brings something else than a request.
    """
    while True:
        request, descriptors, _, _ = socket.recv_fds(link, REQUEST.size, 1, socket.MSG_CMSG_CLOEXEC)
        if not request:
            return
        if len(request) != REQUEST.size or len(descriptors) != 1:
            raise ValueError("not a request with one open file")
        number, attempt = REQUEST.unpack(request)
        try:
            upkeep.begin(descriptors[0])
            body = encode(_reply(fingerprinters[Attempt(attempt)], descriptors[0]))
        finally:
            os.close(descriptors[0])
        over = upkeep.over()
        link.sendall(ANSWER.pack(len(body), number, over) + body)
        if over:
            return


def _reply(fingerprinter: Fingerprinter, fd: int) -> Reply:
    """Fingerprint one content; an exception becomes a reason."""
    try:
        return fingerprinter.fingerprint(fd)
    except MemoryError:
        return Failed(Reason.OVER_LIMIT, "more memory than a worker may have")
    except OSError as error:
        if error.errno is None or error.errno in _OUR_OWN_LIMITS:
            return Failed(Reason.OVER_LIMIT, str(error))
        return Unreadable(error.errno)
    except Exception as error:  # noqa: BLE001 - a decoder may raise anything; it is reported
        return Failed(Reason.HASHER_FAILED, f"{type(error).__name__}: {error}")

"""The messages between the scanner and a worker that reads archives.

The scanner sends :data:`~hashwacht.hashing.workers.protocol.REQUEST` with the descriptor of an
archive, and one without a descriptor for each further answer, so that at most one member waits.
An answer has the header of all answers; its body is JSON in ASCII::

    ["member", name]                 with the descriptor of a sealed memory file
    ["end", [[reason, detail], …]]   with the problems: what could not be read, and why

As the worker may have been taken over by the archive, nothing in an answer is trusted: neither the
form of the body nor that the file is sealed.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from dataclasses import dataclass

from hashwacht.core.text import is_printable_line, replace_unprintable
from hashwacht.core.types import Reason
from hashwacht.hashing.archives.extraction import MAX_NAME, SEALS
from hashwacht.hashing.workers.protocol import MAX_DETAIL, TaskFailure
from hashwacht.ipc.codec import ProtocolError

MAX_PROBLEMS = 16
"""Problems in one answer; there are as many as reasons at most."""


@dataclass(frozen=True, slots=True)
class MemberReply:
    """The next member of the archive, by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class EndReply:
    """The end of the archive, and what could not be read."""

    problems: tuple[TaskFailure, ...]


def encode_reply(reply: MemberReply | EndReply) -> bytes:
    """Return the body of an answer."""
    if isinstance(reply, MemberReply):
        fields: list[object] = ["member", reply.name]
    else:
        details = (replace_unprintable(p.detail[:MAX_DETAIL], "?") for p in reply.problems)
        pairs = zip(reply.problems, details, strict=True)
        fields = ["end", [[problem.reason, detail] for problem, detail in pairs]]
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def decode_reply(body: bytes, copies: Sequence[int | None]) -> MemberReply | EndReply:
    """Return the reply in an answer with these *copies*.  Raises ProtocolError for others."""
    try:
        fields = json.loads(body.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not JSON") from error
    (copy,) = copies
    match fields:
        case ["member", str(name)] if copy is not None and is_printable_line(name, MAX_NAME):
            _check_sealed(copy)
            return MemberReply(name)
        case ["end", list(problems)] if copy is None and len(problems) <= MAX_PROBLEMS:
            return EndReply(tuple(map(_problem, problems)))
    raise ProtocolError("an unknown reply about an archive")


def _check_sealed(fd: int) -> None:
    """Raise ProtocolError unless *fd* is a memory file that nobody can change any more."""
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError as error:
        raise ProtocolError("not a memory file") from error
    if seals & SEALS != SEALS:
        raise ProtocolError("a memory file that may change")


def _problem(fields: object) -> TaskFailure:
    match fields:
        case [str(reason), str(detail)] if is_printable_line(detail, MAX_DETAIL):
            try:
                return TaskFailure(Reason(reason), detail)
            except ValueError as error:
                raise ProtocolError("an unknown reason") from error
    raise ProtocolError("an unknown problem")

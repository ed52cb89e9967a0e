"""The worker that reads archives: sends one member after the other, as sealed memory files.

It gets the descriptor of the archive itself, open for reading only: an archive may be larger than
memory.  Its sandbox is that of the worker that digests.
"""

from __future__ import annotations

import io
import os
import socket
import zipfile
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Protocol

from hashwacht.core.types import ArchiveMode, Reason
from hashwacht.hashing import ArchiveLimits
from hashwacht.hashing.archives.extraction import ExtractedMember, extract, unpacked_kind
from hashwacht.hashing.archives.kinds import detect_archive, is_part
from hashwacht.hashing.archives.reader import ArchiveProblem
from hashwacht.hashing.formats import detect_format
from hashwacht.hashing.sniff import lacks_decoder, sniff
from hashwacht.hashing.workers.archive_protocol import EndReply, MemberReply, encode_reply
from hashwacht.hashing.workers.protocol import ANSWER, EXITING, REQUEST, TaskFailure

_HEAD = 64 << 10


class ContentBudget(Protocol):
    """Limits the processor time of a content, and the size of this process."""

    def begin(self, fd: int) -> None:
        """Start the timer for one content."""

    def exhausted(self) -> bool:
        """Return whether this worker should end after the present content."""


class UnpackTask:
    """Reads the members of one archive after the other."""

    def __init__(self, mode: ArchiveMode, limits: ArchiveLimits) -> None:
        self._mode, self._limits = mode, limits

    def open(self, fd: int) -> Iterator[ExtractedMember | ArchiveProblem]:
        """Yield the members of the archive in *fd*, and what cannot be read."""
        head = os.pread(fd, _HEAD, 0)
        kind = detect_archive(head)
        if kind is None:
            yield ArchiveProblem(Reason.DAMAGED, "it is no archive any more")
            return
        try:
            kind = unpacked_kind(fd, kind)
        except ArchiveProblem as problem:
            yield problem
            return
        if is_part(head):
            yield ArchiveProblem(Reason.DAMAGED, "it is one of several files of an archive")
        os.lseek(fd, 0, os.SEEK_SET)
        yield from extract(fd, kind, self._limits, self._is_wanted)

    def _is_wanted(self, head: bytes) -> bool:
        """Return whether a member with these first bytes is hashed."""
        if self._mode is ArchiveMode.ALL or detect_format(head, cut=True) or detect_archive(head):
            return True
        kind = sniff(head, b"")
        return kind.startswith("video/") or lacks_decoder(kind)

    def preload(self) -> None:
        """Load everything that reading needs: a sandboxed worker opens no library."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("sample.txt", b"sample " * 100)
            file.writestr("sample.gif", b"GIF89a" + bytes(20))
        fd = os.memfd_create("sample")
        try:
            os.write(fd, archive.getvalue())
            os.lseek(fd, 0, os.SEEK_SET)
            for member in self.open(fd):
                if isinstance(member, ExtractedMember):
                    os.close(member.fd)
        finally:
            os.close(fd)


def serve_archives(link: socket.socket, task: UnpackTask, budget: ContentBudget) -> None:
    """Answer requests until the stream ends, or the budget is used up at the end of an archive.

    Raises OSError if *link* breaks, ValueError for anything but a request.
    """
    while True:
        number, fds = _receive(link)
        if number is None:
            return
        if len(fds) != 1:
            raise ValueError("not a request with an archive")
        try:
            budget.begin(fds[0])
            ended = _serve_archive(link, task, fds[0], number, budget)
        finally:
            os.close(fds[0])
        if ended or budget.exhausted():
            return


def _serve_archive(
    link: socket.socket, task: UnpackTask, fd: int, number: int, budget: ContentBudget
) -> bool:
    """Send the members of one archive as they are asked for; return True if the stream ended."""
    problems: dict[Reason, TaskFailure] = {}
    with closing(_members(task, fd, problems)) as members:
        for member in members:
            try:
                _send(link, number, MemberReply(member.name), member.fd)
            finally:
                os.close(member.fd)
            further, _ = _receive(link)
            if further is None:
                return True
            number = further
    flags = EXITING if budget.exhausted() else 0
    _send(link, number, EndReply(tuple(problems.values())), None, flags)
    return False


def _members(
    task: UnpackTask, fd: int, problems: dict[Reason, TaskFailure]
) -> Generator[ExtractedMember]:
    """Yield the members; add to *problems* the first of each reason why others are missing."""
    try:
        for item in task.open(fd):
            if isinstance(item, ExtractedMember):
                yield item
            else:
                problems.setdefault(item.reason, TaskFailure(item.reason, item.detail))
    except MemoryError:
        detail = "more memory than a worker may have"
        problems.setdefault(Reason.OVER_LIMIT, TaskFailure(Reason.OVER_LIMIT, detail))
    except OSError as error:
        problems.setdefault(Reason.OVER_LIMIT, TaskFailure(Reason.OVER_LIMIT, str(error)))


def _receive(link: socket.socket) -> tuple[int | None, list[int]]:
    """Return the number of the next request and its descriptors; None if the stream has ended."""
    request, fds, _, _ = socket.recv_fds(link, REQUEST.size, 1, socket.MSG_CMSG_CLOEXEC)
    if not request:
        return None, fds
    if len(request) != REQUEST.size:
        raise ValueError("not a request")
    return REQUEST.unpack(request)[0], fds


def _send(
    link: socket.socket,
    number: int,
    reply: MemberReply | EndReply,
    fd: int | None,
    flags: int = 0,
) -> None:
    body = encode_reply(reply)
    answer = ANSWER.pack(len(body), number, flags, fd is not None) + body
    sent = socket.send_fds(link, [answer], [fd]) if fd is not None else 0
    if sent < len(answer):
        link.sendall(memoryview(answer)[sent:])

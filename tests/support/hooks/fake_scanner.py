"""An upload socket that gives a verdict of the test's choice, and keeps what it was sent."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.ipc.sockets import listen
from hashwacht.uploads.backend import CheckResult, undetermined_result
from hashwacht.uploads.channel import ConnectionClosed, UploadChannel
from hashwacht.uploads.protocol import (
    MAX_REQUEST_SIZE,
    AcceptedReply,
    UploadCheckReply,
    UploadCheckRequest,
    UploadFailureReply,
    decode_request,
)

LISTED = b"\x89PNG the bytes that are listed"
"""The content that matches."""


@dataclass(frozen=True)
class ReceivedUpload:
    """What one request contained."""

    content: bytes
    context: UploadContext
    private: bool


def judge_listed(content: bytes) -> CheckResult:
    """Return a match for LISTED, and no match for anything else."""
    if content != LISTED:
        return CheckResult(Verdict(Outcome.NO_MATCH), "0" * 64, "image/png", len(content))
    match = Match("hashlist/police", Signal("sha256", "0" * 64), None, "csam", "police", "1")
    return CheckResult(Verdict(Outcome.MATCH, (match,)), "0" * 64, "image/png", len(content))


def undetermined(reason: Reason) -> Callable[[bytes], CheckResult]:
    """Return a judge for which everything is undetermined."""
    return lambda _content: undetermined_result(reason, "a test")


class FakeScanner:
    """Serves one upload socket while its ``with`` block runs."""

    def __init__(self, path: Path, judge: Callable[[bytes], CheckResult] = judge_listed) -> None:
        self.path, self.judge = path, judge
        self.uploads: list[ReceivedUpload] = []
        self.closes_early = self.overloaded = 0
        self._received = threading.Condition()
        self._listener = listen(path)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def wait_for_uploads(self, count: int) -> list[ReceivedUpload]:
        """Return the uploads when there are *count*."""
        with self._received:
            assert self._received.wait_for(lambda: len(self.uploads) >= count, 60)
            return list(self.uploads)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(ConnectionClosed):
                    self._answer(UploadChannel(connection, MAX_REQUEST_SIZE))

    def _answer(self, channel: UploadChannel) -> None:
        fds: list[int] = []
        request = decode_request(channel.receive(30, fds))
        assert isinstance(request, UploadCheckRequest)
        assert request.context is not None
        content = os.pread(fds[0], 1 << 20, 0)
        os.close(fds[0])
        if self.closes_early:
            self.closes_early -= 1
            return
        if self.overloaded:
            self.overloaded -= 1
            channel.send(UploadFailureReply("too many uploads, at once", overloaded=True), 30)
            return
        channel.send(AcceptedReply(), 30)
        with self._received:
            self.uploads.append(ReceivedUpload(content, request.context, request.private))
            self._received.notify_all()
        channel.send(UploadCheckReply.from_result(self.judge(content)), 30)

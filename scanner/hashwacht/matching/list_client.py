"""Hash lists fetched through the courier, part by part: no network, address or credential here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hashwacht.core.errors import ListError
from hashwacht.ipc.client import CourierUnreachable, IpcClient
from hashwacht.ipc.messages import (
    FailureReply,
    FileRole,
    ListPartReply,
    ListPartRequest,
)
from hashwacht.matching.hashlists.updates import too_large

PART_TIMEOUT = 120.0
"""Seconds for one part; the courier waits for at most half of it for the source."""

_ADVICE = (
    "Check that the courier runs: `systemctl status hashwacht-courier`, or `hashwacht daemon`."
)

FetchPart = Callable[[ListPartRequest], ListPartReply | FailureReply]


def download_parts(
    fetch: FetchPart, source: str, role: FileRole, most: int, target: BinaryIO
) -> None:
    """Write a file of at most *most* bytes to *target*.  Raises ListError."""
    number = size = 0
    while True:
        reply = fetch(ListPartRequest(source, role, number))
        if isinstance(reply, FailureReply):
            subject = f"list {source}" + ("" if role is FileRole.LIST else f", its {role}")
            raise ListError(f"{subject}: {reply.problem}", advice=reply.advice or _ADVICE)
        size += len(reply.content)
        if size > most:
            raise too_large(f"list {source}", most)
        target.write(reply.content)
        if reply.last:
            return
        number += 1


class CourierDownload:
    """Downloads files through the courier's *socket*."""

    def __init__(self, socket: Path) -> None:
        self._client = IpcClient(socket)

    def __call__(self, source: str, role: FileRole, most: int, target: BinaryIO) -> None:
        """Write a file of the list *source* to *target*.  Raises ListError."""
        download_parts(self._fetch, source, role, most, target)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _fetch(self, request: ListPartRequest) -> ListPartReply | FailureReply:
        try:
            reply = self._client.call(request, PART_TIMEOUT)
        except CourierUnreachable as error:
            return FailureReply(error.detail, _ADVICE)
        assert isinstance(reply, ListPartReply | FailureReply), "the decoder refuses any other"
        return reply

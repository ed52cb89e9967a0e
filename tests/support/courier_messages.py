"""Requests that the courier delivers, and the problem of a failed delivery."""

from __future__ import annotations

import json

from hashwacht.core.notice import Notice, NoticeKind
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply, NoticeEnvelope

BATCH, NAME = "ab" * 16, "cd" * 16
CASE = {"v": 1, "type": "case", "case": 7, "files": [{"path": "/srv/web/ü.jpg"}]}


def message(channel: str = "mail", count: int = 1, left_out: int = 0) -> DeliverRequest:
    """Return a request that delivers *count* notices through *channel*."""
    notice = Notice(
        NoticeKind.CASE, 1_700_000_000.5, "case 7: csam known to list, ü", json.dumps(CASE)
    )
    return DeliverRequest(channel, BATCH, (NoticeEnvelope(NAME, notice, left_out),) * count)


def problem(result: DeliverReply | FailureReply) -> str:
    """Return the problem of a failed delivery, which must include advice."""
    assert isinstance(result, FailureReply)
    assert result.advice
    return result.problem

"""A notice on its way, as a value and as a row of the table ``alerts``."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hashwacht.core.notice import Notice, NoticeKind


class AlertState(StrEnum):
    """How a notice stands in one channel."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given-up"
    """Nobody took it for a week."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A notice in one channel.  Times are Unix seconds.

    *notice* is the name of the notice, the same in all channels; *left_out* counts older ones
    that had to make room for it; *problem* says what went wrong the last time.
    """

    id: int
    channel: str
    notice: str
    told: Notice
    left_out: int
    batch: str
    state: AlertState
    attempts: int
    due: float
    ended: float | None
    problem: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent in one message."""

    name: str
    channel: str
    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one channel stands, for status and metrics.  Times are Unix seconds.

    *failures* counts the attempts of the batch that fails now, *problem* is what its last one
    met; both are 0 and empty while all is well.  *given_up* and *left_out* count notices of
    the last 30 days that nobody was told.
    """

    channel: str
    waiting: int
    oldest: float | None
    failures: int
    problem: str
    delivered_at: float | None
    given_up: int
    left_out: int


_COLUMNS = (
    'id, channel, notice, kind, at, summary, "case", left_out, batch, state, attempts, due, ended,'
    " problem"
)


def read_alerts(connection: sqlite3.Connection, where: str, *values: str | int) -> list[Alert]:
    """Read what the SQL *where* chooses, the oldest first if it gives no order."""
    order = "" if "ORDER BY" in where else " ORDER BY id"
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM alerts WHERE {where}{order}",  # noqa: S608  # our own words
        values,
    )
    return [_alert(row) for row in found]


def _alert(row: tuple[Any, ...]) -> Alert:
    number, channel, notice, kind, at, summary, case, left_out, batch, *rest = row
    state, attempts, due, ended, problem = rest
    return Alert(
        id=number,
        channel=channel,
        notice=notice,
        told=Notice(NoticeKind(kind), at, summary, case),
        left_out=left_out,
        batch=batch,
        state=AlertState(state),
        attempts=attempts,
        due=due,
        ended=ended,
        problem=problem,
    )

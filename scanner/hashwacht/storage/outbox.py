"""Notices on their way to people: kept until they are delivered, for each channel by itself.

What is added survives ``kill -9`` with the transaction that it is added in.  Notices are sent in
*batches*; a batch has a name that stays the same however often it is tried, so that a receiver
can tell a repetition from news.  A channel has one batch on its way at most: what comes while it
fails is collected behind it.

A notice on its way, as a value and as a row of the table ``alerts``.
"""

from __future__ import annotations

import math
import secrets
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hashwacht.core.notice import Notice, NoticeKind, sanitize_notice
from hashwacht.storage.sqlite.database import Database


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
    notice_id: str
    notice: Notice
    left_out: int
    batch: str
    state: AlertState
    attempts: int
    due: float
    ended: float | None
    problem: str


@dataclass(frozen=True, slots=True)
class AlertBatch:
    """What is sent in one message."""

    name: str
    channel: str
    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class ChannelStatus:
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


def load_alerts(connection: sqlite3.Connection, where: str, *values: str | int) -> list[Alert]:
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
        notice_id=notice,
        notice=Notice(NoticeKind(kind), at, summary, case),
        left_out=left_out,
        batch=batch,
        state=AlertState(state),
        attempts=attempts,
        due=due,
        ended=ended,
        problem=problem,
    )


MAX_WAITING = 1000
"""Notices that wait in one channel; beyond that the oldest are left out, and counted."""

MAX_BATCH_ALERTS = 50
MAX_BATCH_BYTES = 256 * 1024
"""Notices, and characters of their cases, in one batch."""

FIRST_RETRY_DELAY, MAX_RETRY_DELAY = 30.0, 3600.0
"""Seconds before a failed batch is tried again: the first time, doubling, and at most."""

GIVE_UP_AFTER = 7 * 86_400.0
"""Seconds after which a notice that nobody took is given up.  Its case stays where it is."""

KEEP, MOST_KEPT = 30 * 86_400.0, 1000
"""For how many seconds, and how many in a channel, delivered ones can be listed."""


class Outbox:
    """The outbox.  Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._news = threading.Condition()
        self._generation = 0

    def record(self, notice: Notice, channels: Sequence[str]) -> None:
        """Keep a notice for each of the channels, at once and durably; never waits for any."""
        fit, name = sanitize_notice(notice), secrets.token_hex(16)
        with self._database.transaction() as writer:
            for channel in channels:
                _make_room(writer, channel)
                writer.execute(
                    'INSERT INTO alerts (channel, notice, kind, at, due, summary, "case", left_out,'
                    " batch, state, attempts, problem)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, 0, '', 'waiting', 0, '')",
                    (channel, name, fit.kind, fit.at, fit.at, fit.summary, fit.case),
                )
        with self._news:
            self._generation += 1
            self._news.notify_all()

    @property
    def generation(self) -> int:
        """A number that grows with every notice that this process adds."""
        return self._generation

    def wait(self, generation: int, seconds: float) -> None:
        """Wait until something was added since *generation*, or for so many seconds."""
        with self._news:
            self._news.wait_for(lambda: self._generation != generation, seconds)

    def wake(self) -> None:
        """Let everybody go on who waits."""
        with self._news:
            self._generation += 1
            self._news.notify_all()

    def load_next(self, channel: str, every: float, now: float) -> AlertBatch | float:
        """Give what is to be sent now, or the moment to ask again (infinity: when added).

        *every* is how many seconds lie between two messages.  The batch stays the next one
        until it is settled by :meth:`delivered` or :meth:`failed`.
        """
        with self._database.transaction() as writer:
            begun = load_alerts(
                writer, "channel = ? AND state = 'waiting' AND batch != ''", channel
            )
            if begun:
                soonest = min(begun, key=lambda alert: alert.due)
                if now < soonest.due <= now + MAX_RETRY_DELAY:  # beyond: the clock was set back
                    return soonest.due
                return AlertBatch(soonest.batch, channel, tuple(begun))
            fresh = load_alerts(writer, "channel = ? AND state = 'waiting'", channel)
            if not fresh:
                return math.inf
            (last,) = writer.execute(
                "SELECT max(ended) FROM alerts WHERE channel = ? AND ended IS NOT NULL", (channel,)
            ).fetchone()
            ready = -math.inf if last is None else min(float(last), now) + every
            if ready > now:
                return ready
            return _begin(writer, channel, fresh, now)

    def record_delivery(self, batch: AlertBatch, now: float, problem: str = "") -> None:
        """Note that it arrived; *problem* is what the receiver did not like all the same."""
        with self._database.transaction() as writer:
            _end(writer, batch, AlertState.DELIVERED, now, problem)
            writer.execute(
                "DELETE FROM alerts WHERE channel = ? AND ended IS NOT NULL AND (ended < ? OR id <="
                " (SELECT id FROM alerts WHERE channel = ? AND ended IS NOT NULL"
                " ORDER BY id DESC LIMIT 1 OFFSET ?))",
                (batch.channel, now - KEEP, batch.channel, MOST_KEPT),
            )

    def record_failure(
        self, batch: AlertBatch, now: float, problem: str, *, longest: float = MAX_RETRY_DELAY
    ) -> float:
        """Note that it did not arrive; give when it is to be tried again: *longest* s at most."""
        attempts = batch.alerts[0].attempts + 1
        due = now + min(longest, FIRST_RETRY_DELAY * 2.0 ** min(attempts - 1, 30))
        with self._database.transaction() as writer:
            writer.execute(
                "UPDATE alerts SET attempts = ?, due = ?, problem = ?"
                " WHERE channel = ? AND batch = ?",
                (attempts, due, problem, batch.channel, batch.name),
            )
            if min(alert.notice.at for alert in batch.alerts) < now - GIVE_UP_AFTER:
                _end(writer, batch, AlertState.GIVEN_UP, now, problem)
        return due

    def load_latest(self, limit: int, *, waiting: bool = False) -> list[Alert]:
        """Give the latest, newest first; only those that *wait* or were given up, if wanted."""
        chosen = f"state != '{AlertState.DELIVERED}'" if waiting else "1"
        with self._database.read_connection() as connection:
            return load_alerts(connection, f"{chosen} ORDER BY id DESC LIMIT ?", limit)

    def channel_status(self, channel: str) -> ChannelStatus:
        """Say how one channel stands."""
        with self._database.snapshot() as connection:
            waiting, oldest, failures, problem = connection.execute(
                "SELECT count(*), min(at), max(attempts), max(problem) FROM alerts"
                " WHERE channel = ? AND state = 'waiting'",
                (channel,),
            ).fetchone()
            delivered_at, given_up = connection.execute(
                "SELECT max(ended) FILTER (WHERE state = 'delivered'),"
                " count(*) FILTER (WHERE state = 'given-up') FROM alerts"
                " WHERE channel = ? AND ended IS NOT NULL",
                (channel,),
            ).fetchone()
            (left_out,) = connection.execute(
                "SELECT coalesce(sum(left_out), 0) FROM alerts WHERE channel = ?", (channel,)
            ).fetchone()
        return ChannelStatus(
            channel=channel,
            waiting=waiting,
            oldest=oldest,
            failures=failures or 0,
            problem=problem or "",
            delivered_at=delivered_at,
            given_up=given_up,
            left_out=left_out,
        )


def _make_room(writer: sqlite3.Connection, channel: str) -> None:
    """Leave out the oldest that no message has taken yet; the next one says so for it."""
    (waiting,) = writer.execute(
        "SELECT count(*) FROM alerts WHERE channel = ? AND state = 'waiting'", (channel,)
    ).fetchone()
    if waiting < MAX_WAITING:
        return
    (oldest, left_out), (heir, before) = writer.execute(
        "SELECT id, left_out FROM alerts WHERE channel = ? AND state = 'waiting' AND batch = ''"
        " ORDER BY id LIMIT 2",
        (channel,),
    )
    writer.execute("DELETE FROM alerts WHERE id = ?", (oldest,))
    writer.execute("UPDATE alerts SET left_out = ? WHERE id = ?", (before + left_out + 1, heir))


def _begin(
    writer: sqlite3.Connection, channel: str, fresh: Sequence[Alert], now: float
) -> AlertBatch:
    """Put the oldest together under one name, as many as fit into a message."""
    chosen: list[Alert] = []
    room = MAX_BATCH_BYTES
    for alert in fresh[:MAX_BATCH_ALERTS]:
        room -= len(alert.notice.case)
        if room < 0 and chosen:
            break
        chosen.append(alert)
    name = secrets.token_hex(16)
    writer.execute(
        "UPDATE alerts SET batch = ?, due = ?"
        " WHERE channel = ? AND state = 'waiting' AND batch = '' AND id <= ?",
        (name, now, channel, chosen[-1].id),
    )
    return AlertBatch(name, channel, tuple(chosen))


def _end(
    writer: sqlite3.Connection, batch: AlertBatch, state: AlertState, now: float, problem: str
) -> None:
    """Settle a batch; what it said stands in its case, and is not kept twice."""
    writer.execute(
        "UPDATE alerts SET state = ?, ended = ?, problem = ?, \"case\" = ''"
        " WHERE channel = ? AND batch = ?",
        (state, now, problem, batch.channel, batch.name),
    )

"""The outbox: notices that are kept until they are delivered, separately for each channel.

A recorded notice survives ``kill -9`` together with the transaction in which it is recorded.
Notices are sent in *batches*.  The name of a batch is the same in every attempt, so that a receiver
recognizes repetitions.  A channel has at most one batch in delivery; notices that arrive while it
fails wait for the next one.  (Table ``alerts``, one row for each notice and channel.)
"""

from __future__ import annotations

import math
import secrets
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hashwacht.core.notice import Notice, NoticeKind, sanitize_notice
from hashwacht.platform.backoff import Backoff
from hashwacht.storage.sqlite.database import Database


class AlertState(StrEnum):
    """The state of a notice in one channel."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given-up"
    """It could not be delivered for a week."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A notice in one channel.  Times are Unix seconds.

    *notice_id* is the same in all channels; *left_out* counts older notices that were dropped to
    make room; *problem* describes the last failure.
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
    """The notices of one message."""

    name: str
    channel: str
    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """The state of one channel, for status and metrics.  Times are Unix seconds.

    *failures* counts the failed attempts of the present batch and *problem* describes the last
    one; without failures they are 0 and empty.  *given_up* and *left_out* count notices of the last
    30 days that were not delivered.
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
    """Return the alerts that satisfy the SQL *where*, the oldest first unless it has an order."""
    order = "" if "ORDER BY" in where else " ORDER BY id"
    query = f"SELECT {_COLUMNS} FROM alerts WHERE {where}{order}"  # noqa: S608  # our own words
    alerts = []
    for row in connection.execute(query, values):
        number, channel, notice_id, kind, at, summary, case, left_out, batch, state, *rest = row
        notice = Notice(NoticeKind(kind), at, summary, case)
        alert_state = AlertState(state)
        alerts.append(
            Alert(number, channel, notice_id, notice, left_out, batch, alert_state, *rest)
        )
    return alerts


MAX_WAITING = 1000
"""Most notices that wait in one channel; beyond that the oldest are dropped and counted."""

MAX_BATCH_ALERTS = 50
MAX_BATCH_BYTES = 256 * 1024
"""Most notices, and most characters of their cases, in one batch."""

RETRY = Backoff(30.0, 3600.0)
"""Between two attempts to deliver a batch."""

GIVE_UP_AFTER = 7 * 86_400.0
"""Seconds after which an undelivered notice is given up.  Its case is not affected."""

KEEP_DELIVERED, MAX_DELIVERED = 30 * 86_400.0, 1000
"""How many seconds, and how many for each channel, delivered notices are kept."""


class Outbox:
    """All notices in all channels.  Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = threading.Condition()
        self.generation = 0
        """A number that grows with every notice that this process records."""

    def record(self, notice: Notice, channels: Sequence[str]) -> None:
        """Record a notice for each of these channels; never waits for a delivery."""
        fit, notice_id = sanitize_notice(notice), secrets.token_hex(16)
        with self._database.transaction() as writer:
            for channel in channels:
                _make_room(writer, channel)
                writer.execute(
                    'INSERT INTO alerts (channel, notice, kind, at, due, summary, "case", left_out,'
                    " batch, state, attempts, problem)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, 0, '', 'waiting', 0, '')",
                    (channel, notice_id, fit.kind, fit.at, fit.at, fit.summary, fit.case),
                )
        self.wake()

    def wait(self, generation: int, seconds: float) -> None:
        """Wait until *generation* is outdated, or for *seconds* at most."""
        with self._changed:
            self._changed.wait_for(lambda: self.generation != generation, seconds)

    def wake(self) -> None:
        """End all waits."""
        with self._changed:
            self.generation += 1
            self._changed.notify_all()

    def load_next(self, channel: str, interval: float, now: float) -> AlertBatch | float:
        """Return the batch to send now, or when the next one is due (infinity if none waits).

        *interval* is the number of seconds between two messages.  The batch remains the next one
        until :meth:`record_delivery` or :meth:`record_failure` is called.
        """
        with self._database.transaction() as writer:
            in_delivery = "channel = ? AND state = 'waiting' AND batch != ''"
            if current := load_alerts(writer, in_delivery, channel):
                first = min(current, key=lambda alert: alert.due)
                if now < first.due <= now + RETRY.longest:  # beyond: the clock was set back
                    return first.due
                return AlertBatch(first.batch, channel, tuple(current))
            waiting, last = writer.execute(
                "SELECT EXISTS (SELECT 1 FROM alerts WHERE channel = ?1 AND state = 'waiting'),"
                " (SELECT max(ended) FROM alerts WHERE channel = ?1 AND ended IS NOT NULL)",
                (channel,),
            ).fetchone()
            if not waiting:
                return math.inf
            ready = -math.inf if last is None else min(float(last), now) + interval
            return ready if ready > now else _begin(writer, channel, now)

    def record_delivery(self, batch: AlertBatch, now: float, problem: str = "") -> None:
        """Record that a batch was delivered; *problem* is a warning of the receiver."""
        with self._database.transaction() as writer:
            _end(writer, batch, AlertState.DELIVERED, now, problem)
            writer.execute(
                "DELETE FROM alerts WHERE channel = ? AND ended IS NOT NULL AND (ended < ? OR id <="
                " (SELECT id FROM alerts WHERE channel = ? AND ended IS NOT NULL"
                " ORDER BY id DESC LIMIT 1 OFFSET ?))",
                (batch.channel, now - KEEP_DELIVERED, batch.channel, MAX_DELIVERED),
            )

    def record_failure(
        self, batch: AlertBatch, now: float, problem: str, *, longest: float = RETRY.longest
    ) -> float:
        """Record a failed attempt; return when to retry, after *longest* seconds at most."""
        attempts = batch.alerts[0].attempts + 1
        due = now + min(longest, RETRY.delay(attempts))
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
        """Return the newest alerts first; with *waiting* only those not delivered."""
        chosen = f"state != '{AlertState.DELIVERED}'" if waiting else "1"
        with self._database.read_connection() as connection:
            return load_alerts(connection, f"{chosen} ORDER BY id DESC LIMIT ?", limit)

    def channel_status(self, channel: str) -> ChannelStatus:
        """Return the state of one channel."""
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
            channel, waiting, oldest, failures or 0, problem or "", delivered_at, given_up, left_out
        )


def _make_room(writer: sqlite3.Connection, channel: str) -> None:
    """Drop the oldest notice that is in no batch if the channel is full; the next one counts it."""
    (waiting,) = writer.execute(
        "SELECT count(*) FROM alerts WHERE channel = ? AND state = 'waiting'", (channel,)
    ).fetchone()
    if waiting < MAX_WAITING:
        return
    (oldest, left_out), (following, already) = writer.execute(
        "SELECT id, left_out FROM alerts WHERE channel = ? AND state = 'waiting' AND batch = ''"
        " ORDER BY id LIMIT 2",
        (channel,),
    )
    left_out += already + 1
    writer.execute("DELETE FROM alerts WHERE id = ?", (oldest,))
    writer.execute("UPDATE alerts SET left_out = ? WHERE id = ?", (left_out, following))


def _begin(writer: sqlite3.Connection, channel: str, now: float) -> AlertBatch:
    """Name a batch of the oldest notices, as many as fit into one message."""
    chosen: list[Alert] = []
    room = MAX_BATCH_BYTES
    oldest = "channel = ? AND state = 'waiting' ORDER BY id LIMIT ?"
    for alert in load_alerts(writer, oldest, channel, MAX_BATCH_ALERTS):
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
    """End a batch; the text of its cases is removed, as the cases hold it."""
    writer.execute(
        "UPDATE alerts SET state = ?, ended = ?, problem = ?, \"case\" = ''"
        " WHERE channel = ? AND batch = ?",
        (state, now, problem, batch.channel, batch.name),
    )

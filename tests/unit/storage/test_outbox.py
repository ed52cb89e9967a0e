"""The outbox: no notice is lost, its size is bounded, and undelivered notices are visible."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hashwacht.core.notice import MAX_NOTICE_CHARS, Notice, NoticeKind, sanitize_notice
from hashwacht.storage.outbox import (
    GIVE_UP_AFTER,
    MAX_BATCH_ALERTS,
    MAX_WAITING,
    AlertBatch,
    AlertState,
    Outbox,
)
from hashwacht.storage.sqlite.database import Database

EVERY = 60.0


@pytest.fixture
def alerts(database: Database) -> Outbox:
    return Outbox(database)


def notice(at: float, summary: str = "a match", case: str = "") -> Notice:
    return Notice(NoticeKind.CASE, at, summary, case)


def load_batch(alerts: Outbox, now: float, channel: str = "mail") -> AlertBatch:
    batch = alerts.load_next(channel, EVERY, now)
    assert isinstance(batch, AlertBatch), batch
    return batch


def summaries(batch: AlertBatch) -> list[str]:
    return [alert.notice.summary for alert in batch.alerts]


def test_the_first_notice_is_sent_at_once_and_later_ones_batched(alerts: Outbox) -> None:
    alerts.record(notice(1000, "first"), ["mail"])
    first = load_batch(alerts, 1000)
    assert summaries(first) == ["first"]
    alerts.record_delivery(first, 1001)
    alerts.record(notice(1002, "second"), ["mail"])
    alerts.record(notice(1030, "third"), ["mail"])
    assert alerts.load_next("mail", EVERY, 1031) == 1061
    assert summaries(load_batch(alerts, 1061)) == ["second", "third"]


def test_after_a_quiet_time_the_next_goes_at_once_again(alerts: Outbox) -> None:
    alerts.record(notice(1000), ["mail"])
    alerts.record_delivery(load_batch(alerts, 1000), 1000)
    alerts.record(notice(5000, "late"), ["mail"])
    assert summaries(load_batch(alerts, 5000)) == ["late"]


def test_channels_do_not_wait_for_one_another(alerts: Outbox) -> None:
    alerts.record(notice(1000), ["mail", "webhook"])
    alerts.record_failure(load_batch(alerts, 1000), 1000, "connection refused")
    assert load_batch(alerts, 1000, "webhook").alerts[0].notice_id
    assert alerts.load_next("command", EVERY, 1000) == math.inf


def test_a_batch_stays_the_same_however_often_it_is_tried(alerts: Outbox) -> None:
    alerts.record(notice(1000, "first"), ["mail"])
    first = load_batch(alerts, 1000)
    due = alerts.record_failure(first, 1000, "connection refused")
    alerts.record(notice(1001, "second"), ["mail"])
    assert alerts.load_next("mail", EVERY, due - 1) == due
    alert_batch = load_batch(alerts, due)
    assert (alert_batch.name, summaries(alert_batch)) == (first.name, ["first"])
    assert alert_batch.alerts[0].attempts == 1


def test_a_batch_keeps_its_name_after_a_crash(alerts: Outbox, database: Database) -> None:
    alerts.record(notice(1000), ["mail"])
    begun = load_batch(alerts, 1000)
    assert load_batch(Outbox(database), 1001).name == begun.name


def test_a_clock_set_back_delays_a_batch_by_an_hour_at_most(
    alerts: Outbox,
) -> None:
    future = 2_000_000_000.0
    alerts.record(notice(future), ["mail"])
    alerts.record_failure(load_batch(alerts, future), future, "connection refused")
    assert summaries(load_batch(alerts, 1000)) == ["a match"]


def test_delays_grow_to_an_hour_and_end_after_a_week(alerts: Outbox) -> None:
    alerts.record(notice(0), ["mail"])
    now, pauses = 0.0, []
    while alerts.channel_status("mail").waiting:
        due = alerts.record_failure(load_batch(alerts, now), now, "connection refused")
        pauses.append(due - now)
        now = due
    assert pauses[:3] == [30, 60, 120]
    assert max(pauses) == 3600
    assert now > GIVE_UP_AFTER
    (alert,) = alerts.load_latest(10, waiting=True)
    assert (alert.state, alert.problem) == (AlertState.GIVEN_UP, "connection refused")
    assert alerts.channel_status("mail").given_up == 1


def test_a_failing_channel_says_since_when_and_why(alerts: Outbox) -> None:
    alerts.record(notice(1000), ["mail"])
    alerts.record(notice(1005), ["mail"])
    alerts.record_failure(load_batch(alerts, 1005), 1006, "connection refused")
    standing = alerts.channel_status("mail")
    assert (standing.waiting, standing.oldest, standing.failures) == (2, 1000, 1)
    assert standing.problem == "connection refused"
    assert standing.delivered_at is None


def test_beyond_the_limit_the_oldest_are_dropped_and_counted(alerts: Outbox) -> None:
    for number in range(MAX_WAITING + 7):
        alerts.record(notice(number, f"number {number}"), ["mail"])
    standing = alerts.channel_status("mail")
    assert (standing.waiting, standing.left_out) == (MAX_WAITING, 7)
    batch = load_batch(alerts, 2000)
    assert len(batch.alerts) == MAX_BATCH_ALERTS
    assert (summaries(batch)[0], batch.alerts[0].left_out) == ("number 7", 7)


def test_a_message_holds_no_more_than_fits(alerts: Outbox) -> None:
    long = '{"x": "' + "y" * (MAX_NOTICE_CHARS - 100) + '"}'
    for number in range(9):
        alerts.record(notice(number, f"number {number}", long), ["mail"])
    assert summaries(load_batch(alerts, 100)) == [f"number {number}" for number in range(4)]


def test_who_waits_is_woken_by_news(alerts: Outbox) -> None:
    generation = alerts.generation
    waiter = threading.Thread(target=alerts.wait, args=(generation, 60))
    waiter.start()
    alerts.record(notice(1), ["mail"])
    waiter.join(5)
    assert not waiter.is_alive()


def test_a_notice_of_a_failed_transaction_is_not_delivered(
    alerts: Outbox, database: Database
) -> None:
    def add_and_fail() -> None:
        with database.transaction():
            alerts.record(notice(1), ["mail"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        add_and_fail()
    assert alerts.load_next("mail", EVERY, 10) == math.inf


@pytest.mark.parametrize(
    "odd",
    [
        notice(1, "a\nb\x1b[31m"),
        notice(1, "x" * 10_000),
        notice(1, "x", "no JSON"),
        notice(1, "x", "[1]"),
        notice(1, "x" * 10_000, '{"x": "' + "y" * MAX_NOTICE_CHARS + '"}'),
        notice(1, "x", '{"x": "\udc80"}'),
        notice(1, "x", "[" * 60_000),
    ],
)
def test_an_unusual_notice_is_delivered_within_limits(odd: Notice) -> None:
    fit = sanitize_notice(odd)
    assert fit.summary.isprintable()
    assert len(fit.summary) <= 400
    assert fit.case in {"", odd.case}
    assert sanitize_notice(fit) == fit


class OutboxMachine(RuleBasedStateMachine):
    """In any order of events, each notice is delivered once, given up or counted."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.alerts = Outbox(self.database)
        with self.database.transaction() as writer:
            writer.execute("DELETE FROM alerts")
        self.now = 1_000_000.0
        self.added = 0
        self.arrived: list[str] = []
        self.names: dict[str, list[str]] = {}
        self.given_up = 0
        self.left_out = 0

    @rule(times=st.sampled_from([1, 3, 700]))
    def add(self, times: int) -> None:
        waiting = self.alerts.channel_status("mail").waiting
        self.left_out += max(0, waiting + times - MAX_WAITING)
        with self.database.transaction():
            for _ in range(times):
                self.alerts.record(notice(self.now, f"number {self.added}"), ["mail"])
                self.added += 1

    @rule(seconds=st.sampled_from([1.0, 59.0, 4000.0, GIVE_UP_AFTER]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def crash(self) -> None:
        self.alerts = Outbox(self.database)

    @precondition(
        lambda self: isinstance(self.alerts.load_next("mail", EVERY, self.now), AlertBatch)
    )
    @rule(arrives=st.booleans())
    def send(self, arrives: bool) -> None:
        batch = load_batch(self.alerts, self.now)
        assert self.names.setdefault(batch.name, summaries(batch)) == summaries(batch)
        if arrives:
            self.arrived += summaries(batch)
            self.alerts.record_delivery(batch, self.now)
            return
        waiting = self.alerts.channel_status("mail").waiting
        self.alerts.record_failure(batch, self.now, "refused")
        self.given_up += waiting - self.alerts.channel_status("mail").waiting

    @invariant()
    def nothing_is_lost_or_delivered_twice(self) -> None:
        waiting = self.alerts.channel_status("mail").waiting
        assert len(set(self.arrived)) == len(self.arrived)
        assert waiting <= MAX_WAITING
        assert len(self.arrived) + self.given_up + self.left_out + waiting == self.added


@pytest.fixture
def machine(database: Database) -> Iterator[type[OutboxMachine]]:
    OutboxMachine.database = database
    yield OutboxMachine
    del OutboxMachine.database


def test_the_outbox_in_any_order(machine: type[OutboxMachine]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=15))

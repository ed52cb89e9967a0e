"""``hashwacht alerts``: send test alerts, and list deliveries."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from hashwacht.cli.case_session import existing_store
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options, number_option
from hashwacht.cli.output import print_cut, print_result, print_text
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.text import format_time, plural
from hashwacht.daemon.alert_test import ChannelTestResult
from hashwacht.ipc.messages import DeliverReply
from hashwacht.storage.outbox import Alert, AlertState


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht alerts test", "Send a test by mail, webhook and command."),
        Example("hashwacht alerts list --pending", "List alerts that are not delivered yet."),
    ),
)
def alerts_command() -> None:
    """Send a test alert; list recent deliveries.

    Alerts are sent by mail, webhook or command, as configured in [alerts].
    """


@command(
    Example("hashwacht alerts test", "Send a test alert through every configured channel."),
    json=True,
    name="test",
    exit_status={
        ExitCode.OK: "Every channel accepted the alert.",
        ExitCode.ERROR: "A channel did not accept it, or no channel is configured.",
    },
)
def test_channels() -> ExitCode:
    """Send a test alert through every configured channel.

    Uses the running courier, as real alerts do, or sends from this command if no courier is
    running.  Check that the alert has arrived: a channel that accepts it may still lose it.
    """
    from hashwacht.daemon.alert_test import send_test_alerts

    settings = global_options().configuration().settings
    if not settings.alerts.channels:
        raise UsageError(
            "no alert channel is configured",
            advice="Set alerts.mail.to, alerts.webhook.url or alerts.command.program.",
        )
    failed = 0
    for test in send_test_alerts(settings, os.environ):
        failed += not isinstance(test.result, DeliverReply)
        print_result("alert-test", _test_fields(test), *_test_lines(test))
    return ExitCode.ERROR if failed else ExitCode.OK


def _test_lines(test: ChannelTestResult) -> Iterator[str]:
    sender = "by the running courier" if test.by_courier else "by this command; no courier running"
    result = test.result
    if isinstance(result, DeliverReply):
        yield f"ok    {test.channel:10}accepted, sent {sender}"
        if result.problem:
            yield f"{'':16}warning: {result.problem}"
        return
    yield f"FAIL  {test.channel:10}{result.problem} (sent {sender})"
    if result.advice:
        yield f"{'':16}{result.advice}"


def _test_fields(test: ChannelTestResult) -> dict[str, object]:
    delivered = isinstance(test.result, DeliverReply)
    return {
        "channel": test.channel,
        "ok": delivered,
        "by_courier": test.by_courier,
        "problem": test.result.problem,
        "advice": "" if isinstance(test.result, DeliverReply) else test.result.advice,
    }


@command(
    Example("hashwacht alerts list", "List the latest alerts, newest first."),
    Example("hashwacht alerts list --pending", "List alerts that are not delivered yet."),
    json=True,
    name="list",
)
@number_option(20, "alerts")
@click.option("--pending", is_flag=True, help="Only alerts that are waiting or were given up.")
def list_alerts(number: int, pending: bool) -> None:
    """List alerts with their delivery state in each channel, newest first.

    Failed deliveries are retried for a week.  Delivered alerts are kept for 30 days.
    """
    with existing_store() as store:
        latest = [] if store is None else store.outbox.load_latest(number + 1, waiting=pending)
    alerts = latest[:number]
    for alert in alerts:
        print_result("alert", _fields(alert), *_lines(alert))
    if not alerts:
        print_text("No pending alerts." if pending else "No alerts.")
    if len(latest) > number:
        print_cut(number, "alerts")


def _lines(alert: Alert) -> Iterator[str]:
    state = str(alert.state)
    if alert.state is AlertState.WAITING and alert.attempts:
        state = f"failed {plural(alert.attempts, 'time')}, next attempt {format_time(alert.due)}"
    left_out = f" (and {alert.left_out} older ones omitted)" if alert.left_out else ""
    head = f"{format_time(alert.notice.at)}  {alert.channel}: {state}"
    yield f"{head}: {alert.notice.summary}{left_out}"
    if alert.problem:
        yield f"{'':27}{alert.problem}"


def _fields(alert: Alert) -> dict[str, object]:
    return {
        "id": alert.notice_id,
        "channel": alert.channel,
        "kind": alert.notice.kind,
        "at": alert.notice.at,
        "summary": alert.notice.summary,
        "state": alert.state,
        "attempts": alert.attempts,
        "next_attempt_at": alert.due if alert.state is AlertState.WAITING else None,
        "ended_at": alert.ended,
        "problem": alert.problem,
        "left_out": alert.left_out,
    }


for subcommand in (test_channels, list_alerts):
    alerts_command.add_command(subcommand)

"""``hashwacht alerts``: try if they arrive, and see which did."""

from __future__ import annotations

import os

import click

from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.text import escape_text, format_time, plural
from hashwacht.daemon.alert_test import ChannelTestResult
from hashwacht.ipc.messages import DeliverReply
from hashwacht.storage.outbox import Alert, AlertState


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht alerts test", "Send a test by mail, webhook and command."),
        Example("hashwacht alerts list --pending", "See what nobody could be told yet."),
    ),
)
def alerts_command() -> None:
    """Send a test alert; list recent deliveries.

    Alerts go by mail, webhook or command, as the configuration says under [alerts].
    """


@command(
    Example("hashwacht alerts test", "Send a harmless alert through every configured channel."),
    json=True,
    name="test",
    exit_status={
        ExitCode.OK: "Every channel took it.",
        ExitCode.ERROR: "A channel did not take it, or none is configured.",
    },
)
def test_channels() -> ExitCode:
    """Send a harmless alert through every configured channel and say how that went.

    It goes through the running courier if there is one, as real alerts do, else from this
    command itself.  That a channel took it does not say that somebody reads it: look there.
    """
    from hashwacht.daemon.alert_test import send_test_alerts

    call = global_options()
    settings = call.configuration().settings
    if not settings.alerts.channels:
        raise UsageError(
            "no channel for alerts is configured",
            advice="Set alerts.mail.to, alerts.webhook.url or alerts.command.program.",
        )
    wrong = 0
    for tried in send_test_alerts(settings, os.environ):
        wrong += not isinstance(tried.result, DeliverReply)
        if call.as_json:
            emit("alert-test", _tried_fields(tried))
        else:
            _tell(tried)
    return ExitCode.ERROR if wrong else ExitCode.OK


def _tell(tried: ChannelTestResult) -> None:
    way = "through the running courier" if tried.by_courier else "from this command: no courier"
    result = tried.result
    if isinstance(result, DeliverReply):
        line(escape_text(f"ok    {tried.channel:10}taken, {way}"))
        if result.problem:
            line(escape_text(f"{'':16}but {result.problem}"))
        return
    line(escape_text(f"FAIL  {tried.channel:10}{result.problem} ({way})"))
    if result.advice:
        line(escape_text(f"{'':16}{result.advice}"))


def _tried_fields(tried: ChannelTestResult) -> dict[str, object]:
    delivered = isinstance(tried.result, DeliverReply)
    return {
        "channel": tried.channel,
        "ok": delivered,
        "by_courier": tried.by_courier,
        "problem": tried.result.problem,
        "advice": "" if isinstance(tried.result, DeliverReply) else tried.result.advice,
    }


@command(
    Example("hashwacht alerts list", "List the latest, newest first."),
    Example("hashwacht alerts list --pending", "Only those that nobody took."),
    json=True,
    name="list",
)
@click.option("-n", "--number", type=click.IntRange(1), default=20, help="How many; default 20.")
@click.option("--pending", "waiting", is_flag=True, help="Only those that wait or were given up.")
def list_alerts(number: int, waiting: bool) -> None:
    """List alerts with what became of them in each channel.

    What nobody takes is tried again for a week.  Delivered ones are kept for 30 days.
    """
    from hashwacht import bootstrap
    from hashwacht.storage.store import FILE_NAME

    call = global_options()
    settings = call.configuration().settings
    found: list[Alert] = []
    if (settings.state.path / FILE_NAME).exists():
        with bootstrap.store(settings) as store:
            found = store.outbox.load_latest(number, waiting=waiting)
    for alert in found:
        if call.as_json:
            emit("alert", _fields(alert))
        else:
            line(escape_text(_text(alert)))
            if alert.problem:
                line(escape_text(f"{'':27}{alert.problem}"))
    if not found and not call.as_json:
        line("No alerts." if not waiting else "No alert waits.")


def _text(alert: Alert) -> str:
    state = str(alert.state)
    if alert.state is AlertState.WAITING and alert.attempts:
        state = f"failed {plural(alert.attempts, 'time')}, next {format_time(alert.due)}"
    left_out = f" (and {alert.left_out} older ones left out)" if alert.left_out else ""
    head = f"{format_time(alert.notice.at)}  {alert.channel}: {state}"
    return f"{head}: {alert.notice.summary}{left_out}"


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


for each_command in (test_channels, list_alerts):
    alerts_command.add_command(each_command)

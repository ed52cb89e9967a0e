"""``hashwacht limits``: actions that the action limit has paused."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import case_session, optional_case_session
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import number_option, reason_option
from hashwacht.cli.output import print_cut, print_result, print_text
from hashwacht.core.text import count, format_time, plural

if TYPE_CHECKING:
    from hashwacht.cases.service import CaseServices
    from hashwacht.storage.action_limits import ReachedLimit


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht limits list", "List paused actions."),
        Example('hashwacht limits approve 3 --reason "All of it is real."', "Carry them out."),
    ),
)
def limits_command() -> None:
    """List actions paused by the action limit; approve or discard them.

    The action limit is reached when files of so many accounts are held or quarantined, because of
    one content or in one root, that a hash list is probably wrong.  Further matches are still
    recorded and reported, but their files are left in place until a decision is made.  After many
    quarantined files of one account, its further files are held instead.
    """


@command(
    Example("hashwacht limits list", "List reached limits that wait for a decision."),
    Example("hashwacht limits list --all", "Include past ones."),
    json=True,
    name="list",
)
@click.option("--all", "past", is_flag=True, help="Include limits that are no longer in effect.")
@number_option(50, "limits")
def list_limits(*, past: bool, number: int) -> None:
    """List reached limits with the number of paused files, newest first."""
    limits: list[ReachedLimit] = []
    is_cut = False
    paused: dict[int, int] = {}
    with optional_case_session() as services:
        if services is not None:
            store = services.ledger.store
            latest = store.action_limits.load_latest(number + 1, past=past)
            limits, is_cut = latest[:number], len(latest) > number
            paused = store.locations.count_paused([limit.id for limit in limits])
    for limit in limits:
        print_result(
            "action-limit", _fields(limit, paused[limit.id]), _text(limit, paused[limit.id])
        )
    if not limits:
        print_text("No action is paused.")
    if is_cut:
        print_cut(number, "limits")


@command(
    Example('hashwacht limits approve 3 --reason "Checked: a real collection."', "Act on them."),
    json=True,
    name="approve",
)
@click.argument("number", metavar="NUMBER", type=int)
@reason_option()
def approve(number: int, reason: str) -> None:
    """Carry out the paused actions, and suspend the limit for action_limits.window.

    If the command is interrupted, the daemon continues.
    """
    with case_session() as services:
        files = services.approvals().approve(number, reason)
        _print_decision(number, "approved", files, _carry_out(services))


@command(
    Example('hashwacht limits discard 3 --reason "A logo was listed."', "Leave the files alone."),
    json=True,
    name="discard",
)
@click.argument("number", metavar="NUMBER", type=int)
@reason_option()
def discard(number: int, reason: str) -> None:
    """Discard the paused actions, and only observe such files until `limits reinstate`.

    Files that were held or quarantined before the limit was reached are not restored; use
    `hashwacht cases release`.
    """
    with case_session() as services:
        _print_decision(number, "discarded", services.approvals().discard(number, reason))


@command(
    Example('hashwacht limits reinstate 3 --reason "The list is right again."', "Act again."),
    json=True,
    name="reinstate",
)
@click.argument("number", metavar="NUMBER", type=int)
@reason_option()
def reinstate(number: int, reason: str) -> None:
    """Apply the policy again after `limits discard`, including to the discarded files."""
    with case_session() as services:
        files = services.approvals().reinstate(number, reason)
        _print_decision(number, "reinstated", files, _carry_out(services))


def _carry_out(services: CaseServices) -> int:
    """Carry out all actions that are due; return how many failed and will be retried."""
    processor, locations, now = services.processor(), services.ledger.store.locations, time.time()
    failed_before = locations.count_failed()
    while locations.load_due(now, math.inf, 1):
        processor.retry_due(now)
    return max(0, locations.count_failed() - failed_before)


def _print_decision(number: int, decision: str, files: int, failed: int = 0) -> None:
    fields = {"number": number, "decision": decision, "files": files, "failed": failed}
    print_result("limit-decision", fields, f"limit {number}: {plural(files, 'file')} {decision}")
    if failed:
        print_text(f"{plural(failed, 'action')} failed; run `hashwacht cases list` to see which")


def _text(limit: ReachedLimit, paused: int) -> str:
    subject = limit.subject
    value = f" {subject.value}" if subject.value else ""
    root = f" in root {subject.root}" if subject.root else ""
    decision = f", {limit.decided_by}: {limit.reason}" if limit.decided_at else ""
    return (
        f"{limit.id:>5}  {limit.decision:<10}  {format_time(limit.reached_at)} "
        f" {subject.scope}{value}{root},"
        f" limit {count(limit.max_actions)}, {count(paused)} paused{decision}"
    )


def _fields(limit: ReachedLimit, paused: int) -> dict[str, object]:
    subject = limit.subject
    return {
        "number": limit.id,
        "scope": subject.scope,
        "root": subject.root,
        "subject": subject.value,
        "max_actions": limit.max_actions,
        "reached_at": limit.reached_at,
        "waiting": paused,
        "decision": limit.decision,
        "decided_at": limit.decided_at,
        "who": limit.decided_by,
        "reason": limit.reason,
    }


for subcommand in (list_limits, approve, discard, reinstate):
    limits_command.add_command(subcommand)

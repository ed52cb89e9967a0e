"""``hashwacht limits``: actions that the action limit has paused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import case_session, optional_case_session, reason_option
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.text import count, escape_text, format_time, plural

if TYPE_CHECKING:
    from hashwacht.cases.factory import CaseServices
    from hashwacht.storage.action_limits import ReachedLimit


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht limits list", "Say why actions wait."),
        Example('hashwacht limits approve 3 --reason "All of it is real."', "Carry them out."),
    ),
)
def limits_command() -> None:
    """List actions paused by the action limit; approve or discard them.

    When so many files of one content, account or root were held or quarantined that a list must
    have gone wrong, further ones wait: they go on being found and told, and lie where they are.
    """


@command(
    Example("hashwacht limits list", "Those that wait for a ruling or in which we stand down."),
    Example("hashwacht limits list --all", "The past ones too."),
    json=True,
    name="list",
)
@click.option("--all", "past", is_flag=True, help="Also those that are over.")
@click.option("-n", "--number", type=click.IntRange(1), default=50, help="How many; default 50.")
def list_limits(*, past: bool, number: int) -> None:
    """List floods, newest first, with how many files wait."""
    with optional_case_session() as found:
        store = None if found is None else found.ledger.store
        floods = [] if store is None else store.action_limits.load_latest(number, past=past)
        waiting = {} if store is None else store.locations.count_held([each.id for each in floods])
    for each in floods:
        if global_options().as_json:
            emit("action-limit", _fields(each, waiting[each.id]))
        else:
            line(escape_text(_text(each, waiting[each.id])))
    if not floods and not global_options().as_json:
        line("No action is paused.")


@command(
    Example('hashwacht limits approve 3 --reason "Checked: a real collection."', "Act on them."),
    json=True,
    name="approve",
)
@click.argument("number", metavar="NUMBER", type=int)
@reason_option()
def approve(number: int, reason: str) -> None:
    """Carry out now what waits, and do not count such files for the time of action_limits.window.

    If this is interrupted, the daemon goes on.
    """
    with case_session() as found:
        _tell(number, "approved", found.approvals().approve(number, reason), _carry_out(found))


@command(
    Example('hashwacht limits discard 3 --reason "A logo was listed."', "Leave them alone."),
    json=True,
    name="discard",
)
@click.argument("number", metavar="NUMBER", type=int)
@reason_option()
def discard(number: int, reason: str) -> None:
    """Drop what waits, and only observe such files until this is recalled.

    What was held or quarantined before the guard stepped in stays so: `hashwacht cases release`
    gives it back.
    """
    with case_session() as found:
        _tell(number, "discarded", found.approvals().discard(number, reason))


@command(
    Example('hashwacht limits reinstate 3 --reason "The list is right again."', "Act as before."),
    json=True,
    name="reinstate",
)
@click.argument("number", metavar="NUMBER", type=int)
@reason_option()
def reinstate(number: int, reason: str) -> None:
    """End standing down: the policy counts again, also for files that were dropped."""
    with case_session() as found:
        _tell(number, "reinstated", found.approvals().reinstate(number, reason), _carry_out(found))


def _carry_out(found: CaseServices) -> int:
    """Do what is due now; say how much failed, and is due later."""
    processor, places, now = found.processor(), found.ledger.store.locations, time.time()
    before = places.count_failed()
    while places.load_due(now, 1):
        processor.retry_due(now)
    return max(0, places.count_failed() - before)


def _tell(number: int, ruling: str, files: int, failed: int = 0) -> None:
    if global_options().as_json:
        emit(
            "limit-decision",
            {"number": number, "decision": ruling, "files": files, "failed": failed},
        )
        return
    did = {"approved": "approved", "discarded": "discarded", "reinstated": "reinstated"}[ruling]
    line(f"limit {number}: {plural(files, 'file')} {did}")
    if failed:
        line(f"{plural(failed, 'file')} could not be acted upon; `hashwacht cases list` names them")


def _text(flood: ReachedLimit, waiting: int) -> str:
    subject = flood.subject
    of = f" {subject.value}" if subject.value else ""
    root = f" in root {subject.root}" if subject.root else ""
    ruled = f", {flood.decided_by}: {flood.reason}" if flood.decided_at else ""
    return (
        f"{flood.id:>5}  {flood.decision:<10}  {format_time(flood.reached_at)} "
        f" {subject.scope}{of}{root},"
        f" limit {count(flood.max_actions)}, {count(waiting)} waiting{ruled}"
    )


def _fields(flood: ReachedLimit, waiting: int) -> dict[str, object]:
    subject = flood.subject
    return {
        "number": flood.id,
        "scope": subject.scope,
        "root": subject.root,
        "subject": subject.value,
        "max_actions": flood.max_actions,
        "reached_at": flood.reached_at,
        "waiting": waiting,
        "decision": flood.decision,
        "decided_at": flood.decided_at,
        "who": flood.decided_by,
        "reason": flood.reason,
    }


for each_command in (list_limits, approve, discard, reinstate):
    limits_command.add_command(each_command)

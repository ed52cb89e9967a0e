"""``hashwacht flood``: what to do when so much matches that a list must have gone wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import opened_room, reason_option, room
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import this_call
from hashwacht.cli.output import emit, harmless, line
from hashwacht.cli.render.figures import count, many, moment

if TYPE_CHECKING:
    from hashwacht.cases.factory import Workroom
    from hashwacht.storage.action_limits import Flood


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht flood list", "Say why actions wait."),
        Example('hashwacht flood let-go 3 --reason "All of it is real."', "Carry them out."),
    ),
)
def flood_command() -> None:
    """List what the flood guard holds, and let it go or stand down.

    When so many files of one content, account or root were held or quarantined that a list must
    have gone wrong, further ones wait: they go on being found and told, and lie where they are.
    """


@command(
    Example("hashwacht flood list", "Those that wait for a ruling or in which we stand down."),
    Example("hashwacht flood list --all", "The past ones too."),
    json=True,
    name="list",
)
@click.option("--all", "past", is_flag=True, help="Also those that are over.")
@click.option("-n", "--number", type=click.IntRange(1), default=50, help="How many; default 50.")
def list_floods(*, past: bool, number: int) -> None:
    """List floods, newest first, with how many files wait."""
    with opened_room() as found:
        store = None if found is None else found.book.store
        floods = [] if store is None else store.floods.latest(number, past=past)
        waiting = {} if store is None else store.places.held_by([each.id for each in floods])
    for each in floods:
        if this_call().as_json:
            emit("flood", _fields(each, waiting[each.id]))
        else:
            line(harmless(_text(each, waiting[each.id])))
    if not floods and not this_call().as_json:
        line("Nothing waits.")


@command(
    Example('hashwacht flood let-go 3 --reason "Checked: a real collection."', "Act on them."),
    json=True,
    name="let-go",
)
@click.argument("number", metavar="FLOOD", type=int)
@reason_option()
def let_go(number: int, reason: str) -> None:
    """Carry out now what waits, and do not count such files for the time of guard.window.

    If this is interrupted, the daemon goes on.
    """
    with room() as found:
        _tell(number, "let-go", found.rulings().let_go(number, reason), _carry_out(found))


@command(
    Example('hashwacht flood stand-down 3 --reason "A logo was listed."', "Leave them alone."),
    json=True,
    name="stand-down",
)
@click.argument("number", metavar="FLOOD", type=int)
@reason_option()
def stand_down(number: int, reason: str) -> None:
    """Drop what waits, and only observe such files until this is recalled.

    What was held or quarantined before the guard stepped in stays so: `hashwacht cases release`
    gives it back.
    """
    with room() as found:
        _tell(number, "stand-down", found.rulings().stand_down(number, reason))


@command(
    Example('hashwacht flood recall 3 --reason "The list is right again."', "Act as before."),
    json=True,
    name="recall",
)
@click.argument("number", metavar="FLOOD", type=int)
@reason_option()
def recall(number: int, reason: str) -> None:
    """End standing down: the policy counts again, also for files that were dropped."""
    with room() as found:
        _tell(number, "recalled", found.rulings().recall(number, reason), _carry_out(found))


def _carry_out(found: Workroom) -> int:
    """Do what is due now; say how much failed, and is due later."""
    casework, places, now = found.casework(), found.book.store.places, time.time()
    before = places.failed()
    while places.due(now, 1):
        casework.retry(now)
    return max(0, places.failed() - before)


def _tell(number: int, ruling: str, files: int, failed: int = 0) -> None:
    if this_call().as_json:
        emit("ruling", {"flood": number, "ruling": ruling, "files": files, "failed": failed})
        return
    did = {"let-go": "let go", "stand-down": "left alone", "recalled": "looked at again"}[ruling]
    line(f"flood {number}: {many(files, 'file')} {did}")
    if failed:
        line(f"{many(failed, 'file')} could not be acted upon; `hashwacht cases list` names them")


def _text(flood: Flood, waiting: int) -> str:
    subject = flood.subject
    of = f" {subject.of}" if subject.of else ""
    root = f" in root {subject.root}" if subject.root else ""
    ruled = f", {flood.who}: {flood.reason}" if flood.ruled else ""
    return (
        f"{flood.id:>5}  {flood.ruling:<10}  {moment(flood.began)}  {subject.scope}{of}{root},"
        f" limit {count(flood.most)}, {count(waiting)} waiting{ruled}"
    )


def _fields(flood: Flood, waiting: int) -> dict[str, object]:
    subject = flood.subject
    return {
        "flood": flood.id,
        "scope": subject.scope,
        "root": subject.root,
        "subject": subject.of,
        "limit": flood.most,
        "began": flood.began,
        "waiting": waiting,
        "ruling": flood.ruling,
        "ruled": flood.ruled,
        "who": flood.who,
        "reason": flood.reason,
    }


for each_command in (list_floods, let_go, stand_down, recall):
    flood_command.add_command(each_command)

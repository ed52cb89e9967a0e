"""``hashwacht cases``: what was found, and what people decide about it."""

from __future__ import annotations

import click

from hashwacht.cli.case_session import (
    case_command,
    case_session,
    find_case,
    optional_case_session,
    require_text,
    time_option,
)
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.commands.cases_decide import close, release, restore
from hashwacht.cli.commands.cases_destroy import destroy
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.cli.render.case_text import case_details, case_summary, print_case

STATES = ("open", "released", "closed", "suppressed")


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht cases list --state open", "Say what waits for a decision."),
        Example("hashwacht cases show 7", "Say everything that is known of one."),
    ),
)
def cases_command() -> None:
    """List and show cases; restore, release or destroy their files; add notes.

    A case is one content that matched, with all places where it was found.  Nothing here ever
    shows or opens a content.  The commands work beside a running daemon and without one: both
    take turns for every single file.
    """


@command(
    Example("hashwacht cases list", "The latest 50, newest first."),
    Example("hashwacht cases list --state open --since 7d", "Those that changed this week."),
    Example("hashwacht cases list --expired", "Those with sealed files that may be destroyed."),
    json=True,
    name="list",
)
@click.option("--state", type=click.Choice(STATES), help="Only those that stand like this.")
@click.option("--root", default="", metavar="NAME", help="Only those found in this root.")
@time_option("--since", help="Only those that changed since a date or a span before now.")
@click.option(
    "--expired", is_flag=True, help="Only those whose sealed files were kept long enough."
)
@click.option("-n", "--number", type=click.IntRange(1), default=50, help="How many; default 50.")
def list_cases(
    *, state: str | None, root: str, since: float | None, expired: bool, number: int
) -> None:
    """List cases, newest first, each with what became of its files."""
    from hashwacht.storage.cases import CaseState

    call = global_options()
    with optional_case_session() as found:
        if found is None:
            found_cases = []
        else:
            keep = call.configuration().settings.quarantine.retention
            found_cases = found.ledger.store.cases.load_latest(
                number,
                state=CaseState(state) if state else None,
                root=root,
                since=since or 0.0,
                sealed_before=found.ledger.clock() - keep if expired else None,
            )
        for case in found_cases:
            assert found is not None
            if call.as_json:
                emit("case", found.ledger.case_file(case).to_json())
            else:
                line(case_summary(case, found.ledger.store.locations.count_by_state(case.key)))
    if not found_cases and not call.as_json:
        line("No such case.")


@command(
    Example("hashwacht cases show 7", "Everything that is known, without any content."),
    Example("hashwacht cases show 7 --json | jq .files", "The same for a program."),
    json=True,
    name="show",
)
@click.argument("names", metavar="CASE...", nargs=-1, required=True)
@click.option("-n", "--number", type=click.IntRange(1), default=100, help="Places; default 100.")
def show(names: tuple[str, ...], number: int) -> None:
    """Show cases: matches, places, accounts, what requests told, notes.

    CASE is the number of a case or the SHA-256 of its content.
    """
    with case_session() as found:
        for name in names:
            file = found.ledger.case_file(find_case(found, name), number)
            if global_options().as_json:
                emit("case", file.to_json())
            else:
                for text in case_details(file):
                    line(text)


@case_command(
    Example('hashwacht cases note 7 "Reported to the police, file 123/26."', "Write it down."),
)
@click.argument("text", callback=require_text)
def note(name: str, text: str) -> None:
    """Write a note about a case; it cannot be changed afterwards."""
    with case_session() as found:
        case = find_case(found, name)
        found.decisions().note(case, text)
        print_case(found, case, "noted")


for each_command in (list_cases, show, note, restore, release, destroy, close):
    cases_command.add_command(each_command)

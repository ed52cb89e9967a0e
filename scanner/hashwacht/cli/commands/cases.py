"""``hashwacht cases``: list and show matches, and decide what happens to their files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hashwacht.cli.case_session import (
    case_command,
    case_session,
    find_case,
    optional_case_session,
    select_files,
)
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.options import (
    global_options,
    identity_missing,
    identity_option,
    number_option,
    read_identities,
    reason_option,
    require_text,
    time_option,
    yes_option,
)
from hashwacht.cli.output import print_cut, print_result, print_text
from hashwacht.cli.render.case_text import case_details, case_summary, print_case, print_decisions
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.text import format_time, plural

if TYPE_CHECKING:
    from hashwacht.storage.cases import Case
    from hashwacht.storage.locations import FileLocation

STATES = ("open", "released", "closed", "suppressed")


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht cases list --state open", "List cases that wait for a decision."),
        Example("hashwacht cases show 7", "Show the details of one case."),
    ),
)
def cases_command() -> None:
    """List and show cases; restore, release or destroy their files; add notes.

    A case is one matched content with all files that contain it.  No command shows the content
    itself.  The commands work whether or not the daemon is running.
    """


@command(
    Example("hashwacht cases list", "List the latest 50 cases, newest first."),
    Example("hashwacht cases list --state open --since 7d", "List open cases of the last week."),
    Example("hashwacht cases list --expired", "List cases whose sealed files may be destroyed."),
    json=True,
    name="list",
)
@click.option("--state", type=click.Choice(STATES), help="Only cases in this state.")
@click.option("--root", default="", metavar="NAME", help="Only cases with files in this root.")
@time_option("--since", help="Only cases changed since a date (2026-11-30) or within an age (7d).")
@click.option(
    "--expired", is_flag=True, help="Only cases with sealed files past quarantine.retention."
)
@number_option(50, "cases")
def list_cases(
    *, state: str | None, root: str, since: float | None, expired: bool, number: int
) -> None:
    """List cases, newest first, with the states of their files."""
    from hashwacht.storage.cases import CaseState

    cases: list[Case] = []
    is_cut = False
    with optional_case_session() as services:
        if services is not None:
            ledger, retention = services.ledger, _retention()
            latest = ledger.store.cases.load_latest(
                number + 1,
                state=CaseState(state) if state else None,
                root=root,
                since=since or 0.0,
                sealed_before=ledger.clock() - retention if expired else None,
            )
            cases, is_cut = latest[:number], len(latest) > number
            for case in cases:
                counts = ledger.store.locations.count_by_state(case.key)
                fields = ledger.case_file(case).to_json() if global_options().as_json else {}
                print_result("case", fields, case_summary(case, counts))
    if not cases:
        print_text("No matching cases.")
    if is_cut:
        print_cut(number, "cases")


def _retention() -> float:
    return global_options().configuration().settings.quarantine.retention


@command(
    Example("hashwacht cases show 7", "Show matches, files and notes of a case."),
    Example("hashwacht cases show 7 --json | jq .files", "List its files as JSON."),
    Example("hashwacht cases show 7f3a91c2", "Find the case of an upload that was refused."),
    json=True,
    name="show",
)
@click.argument("names", metavar="CASE...", nargs=-1, required=True)
@number_option(100, "files per case")
def show(names: tuple[str, ...], number: int) -> None:
    """Show cases: matches, files, accounts, uploads and notes.

    CASE is the number of a case, the SHA-256 of its content, or the event of an upload that the
    gateway refused: the last eight characters of the name that the uploader was shown.
    """
    with case_session() as services:
        for name in names:
            file = services.ledger.case_file(find_case(services, name), number)
            print_result("case", file.to_json(), *case_details(file))
            if file.is_cut:
                print_cut(number, f"files of case {file.case.id}")


@case_command(
    Example('hashwacht cases note 7 "Reported to the police, file 123/26."', "Record a report."),
)
@click.argument("text", callback=require_text)
def note(name: str, text: str) -> None:
    """Add a note to a case; notes cannot be changed or removed."""
    with case_session() as services:
        case = find_case(services, name)
        services.decisions().note(case, text)
        print_case(services, case, "note added")


def _file_option() -> Callable[[Any], Any]:
    return click.option(
        "--file",
        "numbers",
        type=int,
        multiple=True,
        metavar="NUMBER",
        help="Only this file of the case.  May be repeated.",
    )


def _parents_option() -> Callable[[Any], Any]:
    return click.option(
        "--parents",
        is_flag=True,
        help="Create missing directories, with the owner and mode of the original directory.",
    )


@case_command(
    Example("hashwacht cases restore 7 --identity key.txt", "Restore all files of case 7."),
    Example(
        "hashwacht cases restore 7 --file 2 --identity key.txt --to /root/evidence/7-2.jpg",
        "Restore one file to another path.",
    ),
)
@_file_option()
@identity_option()
@click.option(
    "--to",
    type=click.Path(path_type=bytes),
    metavar="PATH",
    help="Restore the file to this path; requires --file.",
)
@_parents_option()
@reason_option(required=False)
def restore(
    name: str,
    numbers: Sequence[int],
    identities: Sequence[Path],
    to: bytes | None,
    reason: str,
    *,
    parents: bool,
) -> ExitCode:
    """Restore sealed and held files of a case.

    Contents, owner, mode, times and attributes are restored exactly.  No further action is taken
    on the content at these paths; other copies are treated as before.
    """
    from hashwacht.quarantine.restore import RestoreRequest
    from hashwacht.storage.locations import LocationState

    if to is not None and (len(numbers) != 1 or parents):
        raise UsageError(
            "--to restores one file into an existing directory",
            advice="Select the file with one --file, and omit --parents.",
        )
    restorable = (LocationState.QUARANTINED, LocationState.HELD, LocationState.RESTORING)
    with case_session() as services:
        case = find_case(services, name)
        files = select_files(services, case, numbers, *restorable)
        secrets = read_identities(identities)
        if not secrets and any(file.state is not LocationState.HELD for file in files):
            raise identity_missing()
        path = None if to is None else os.path.abspath(to)  # noqa: PTH100  # links stay as they are
        request, decisions = RestoreRequest(reason, secrets, path, parents), services.decisions()
        return print_decisions(case, (decisions.restore(file, request) for file in files))


@case_command(
    Example(
        'hashwacht cases release 7 --reason "A logo; the list was wrong." --identity key.txt',
        "Restore all files of a false match and ignore its content.",
    ),
)
@reason_option()
@identity_option()
@click.option("--keep-sealed", is_flag=True, help="Leave sealed files in quarantine.")
@_parents_option()
def release(
    name: str, reason: str, identities: Sequence[Path], *, keep_sealed: bool, parents: bool
) -> ExitCode:
    """Mark a content as released: restore all its files and take no action on it anywhere.

    `hashwacht cases close` revokes the release.
    """
    from hashwacht.quarantine.restore import RestoreRequest
    from hashwacht.storage.locations import LocationState

    with case_session() as services:
        case = find_case(services, name)
        secrets = read_identities(identities)
        counts = services.ledger.store.locations.count_by_state(case.key)
        if counts.get(LocationState.QUARANTINED) and not secrets and not keep_sealed:
            raise identity_missing(", or --keep-sealed")
        request = RestoreRequest(reason, secrets, make_parents=parents)
        results = services.decisions().release(case, request, sealed_too=not keep_sealed)
        exit_code = print_decisions(case, results)
        print_text(f"case {case.id}: released; no further action is taken on its content")
        return exit_code


@case_command(
    Example('hashwacht cases close 7 --reason "The customer has removed it."', "Close a case."),
)
@reason_option()
def close(name: str, reason: str) -> None:
    """Close a case without changing its files; revoke a release.

    The case is opened again when its content is found again.
    """
    with case_session() as services:
        case = services.decisions().close(find_case(services, name), reason)
        print_case(services, case, "closed")


@case_command(
    Example(
        'hashwacht cases destroy 7 --reason "Kept for 180 days, police file 123/26 is closed."',
        "Destroy the sealed files of case 7, after confirmation.",
    ),
)
@reason_option()
@_file_option()
@yes_option()
@click.option(
    "--ignore-retention", is_flag=True, help="Also destroy files within quarantine.retention."
)
def destroy(
    name: str, reason: str, numbers: Sequence[int], *, yes: bool, ignore_retention: bool
) -> ExitCode:
    """Destroy sealed files of a case permanently and print the receipts.

    Only files sealed for at least quarantine.retention are destroyed, unless --ignore-retention
    is given.  The receipts are kept in the audit log and in the vault.
    """
    from hashwacht.storage.locations import LocationState

    states = (LocationState.QUARANTINED, LocationState.DESTROYING)
    with case_session() as services:
        case = find_case(services, name)
        files = select_files(services, case, numbers, *states)
        kept = [] if ignore_retention else _retained(files, services.ledger.clock())
        expired = [file for file in files if file not in kept]
        if not expired:
            raise UsageError(
                f"the sealed files of case {case.id} must be kept until {_expiry(kept)}",
                advice="Wait until then, or use --ignore-retention if they are not needed.",
            )
        _confirm(case, len(expired), yes=yes)
        decisions = services.decisions()
        exit_code = print_decisions(case, (decisions.destroy(file, reason) for file in expired))
        decisions.close_if_done(case, reason)
        if kept:
            print_text(f"{plural(len(kept), 'more file')} to be kept until {_expiry(kept)}")
        return exit_code


def _retained(files: Sequence[FileLocation], now: float) -> list[FileLocation]:
    retention = _retention()
    return [file for file in files if (file.acted_at or 0.0) + retention > now]


def _expiry(files: Sequence[FileLocation]) -> str:
    """Return the time from which the first of *files* may be destroyed."""
    return format_time(min(file.acted_at or 0.0 for file in files) + _retention())


def _confirm(case: Case, number: int, *, yes: bool) -> None:
    """Ask for confirmation on a terminal.  Raises UsageError without a terminal or *yes*."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "destruction needs confirmation", advice="Use --yes to destroy without confirmation."
        )
    files = plural(number, "sealed file")
    click.confirm(f"Permanently destroy {files} of case {case.id}?", abort=True, err=True)


for subcommand in (list_cases, show, note, restore, release, destroy, close):
    cases_command.add_command(subcommand)

"""``hashwacht cases destroy``: the one decision that cannot be taken back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hashwacht.cli.case_session import (
    case_command,
    case_session,
    file_option,
    find_case,
    reason_option,
    select_files,
)
from hashwacht.cli.click_ext import Example
from hashwacht.cli.options import global_options
from hashwacht.cli.output import line
from hashwacht.cli.render.case_text import print_outcomes
from hashwacht.core.errors import ExitCode, UsageError
from hashwacht.core.text import format_time, plural

if TYPE_CHECKING:
    from hashwacht.storage.cases import Case
    from hashwacht.storage.locations import FileLocation


@case_command(
    Example(
        'hashwacht cases destroy 7 --reason "Kept for 180 days, police file 123/26 is closed."',
        "Destroy its sealed files; asks first.",
    ),
)
@reason_option()
@file_option()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--ignore-retention", "early", is_flag=True, help="Also those that should be kept longer."
)
def destroy(name: str, reason: str, numbers: Sequence[int], *, yes: bool, early: bool) -> ExitCode:
    """Destroy sealed files of a case for good; what is told is the receipt.

    Only those that were kept for quarantine.retention, unless --ignore-retention is given.  The
    receipt stands in the audit log as well and stays in the vault.
    """
    from hashwacht.storage.locations import LocationState

    keep = global_options().configuration().settings.quarantine.retention
    with case_session() as found:
        case = find_case(found, name)
        chosen = select_files(
            found, case, numbers, LocationState.QUARANTINED, LocationState.DESTROYING
        )
        now = found.ledger.clock()
        kept = [place for place in chosen if not early and _until(place, keep) > now]
        doomed = [place for place in chosen if place not in kept]
        if not doomed:
            raise UsageError(
                f"its sealed files are to be kept until {_earliest(kept, keep)} at least",
                advice="Wait, or give --ignore-retention if nobody needs them any more.",
            )
        _confirm(case, len(doomed), yes=yes)
        decisions = found.decisions()
        ended = print_outcomes(case, (decisions.destroy(place, reason) for place in doomed))
        decisions.close_if_done(case, reason)
        if kept and not global_options().as_json:
            line(f"{plural(len(kept), 'more file')} to be kept until {_earliest(kept, keep)}")
        return ended


def _until(place: FileLocation, keep: float) -> float:
    """Return the time from which it may be destroyed."""
    return (place.acted_at or 0.0) + keep


def _earliest(places: Sequence[FileLocation], keep: float) -> str:
    return format_time(min(_until(place, keep) for place in places))


def _confirm(case: Case, number: int, *, yes: bool) -> None:
    """Ask before what cannot be undone.  Raises UsageError if nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("destroying cannot be undone", advice="Give --yes to do it unasked.")
    what = plural(number, "sealed file")
    click.confirm(f"Destroy {what} of case {case.id} for good?", abort=True, err=True)

"""``hashwacht cases restore|release|close``: decisions that can be taken back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from hashwacht.cli.case_session import (
    case_command,
    case_session,
    file_option,
    find_case,
    parents_option,
    reason_option,
    select_files,
)
from hashwacht.cli.click_ext import Example
from hashwacht.cli.options import global_options, identity_missing, identity_option, read_identities
from hashwacht.cli.output import line
from hashwacht.cli.render.case_text import print_case, print_outcomes
from hashwacht.core.errors import ExitCode, UsageError


@case_command(
    Example("hashwacht cases restore 7 --identity key.txt", "Put its sealed files back."),
    Example(
        "hashwacht cases restore 7 --file 2 --identity key.txt --to /root/evidence/7-2.jpg",
        "Put one of them elsewhere.",
    ),
)
@file_option()
@identity_option()
@click.option(
    "--to",
    type=click.Path(path_type=bytes),
    metavar="PATH",
    help="Put it at this path; needs --file.",
)
@parents_option()
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
    """Put sealed files of a case back as they were, and let held ones be served again.

    They are left alone at these places from now on; other copies are acted upon as before.
    """
    from hashwacht.quarantine.restore import RestoreRequest
    from hashwacht.storage.locations import LocationState

    if to is not None and (len(numbers) != 1 or parents):
        raise UsageError(
            "--to is for one file and a directory that is there",
            advice="Choose the file with --file, and leave --parents out.",
        )
    with case_session() as found:
        case = find_case(found, name)
        places = select_files(
            found,
            case,
            numbers,
            LocationState.QUARANTINED,
            LocationState.HELD,
            LocationState.RESTORING,
        )
        secrets = read_identities(identities)
        if not secrets and any(place.state is not LocationState.HELD for place in places):
            raise identity_missing()
        path = None if to is None else os.path.abspath(to)  # noqa: PTH100  # links stay as they are
        wish, decisions = RestoreRequest(reason, secrets, path, parents), found.decisions()
        return print_outcomes(case, (decisions.restore(place, wish) for place in places))


@case_command(
    Example(
        'hashwacht cases release 7 --reason "A logo; the list was wrong." --identity key.txt',
        "Give everything back, and leave that content alone.",
    ),
)
@reason_option()
@identity_option()
@click.option("--keep-sealed", is_flag=True, help="Leave sealed files in the vault.")
@parents_option()
def release(
    name: str, reason: str, identities: Sequence[Path], *, keep_sealed: bool, parents: bool
) -> ExitCode:
    """Leave a content alone from now on, wherever it lies, and give back all files of it.

    `hashwacht cases close` takes that back.
    """
    from hashwacht.quarantine.restore import RestoreRequest
    from hashwacht.storage.locations import LocationState

    with case_session() as found:
        case = find_case(found, name)
        secrets = read_identities(identities)
        sealed = found.ledger.store.locations.count_by_state(case.key).get(
            LocationState.QUARANTINED, 0
        )
        if sealed and not secrets and not keep_sealed:
            raise identity_missing(" or --keep-sealed")
        wish = RestoreRequest(reason, secrets, make_parents=parents)
        ended = print_outcomes(
            case, found.decisions().release(case, wish, sealed_too=not keep_sealed)
        )
        if not global_options().as_json:
            line(f"case {case.id}: released; its content is left alone from now on")
        return ended


@case_command(
    Example('hashwacht cases close 7 --reason "The customer has removed it."', "Deal with it."),
)
@reason_option()
def close(name: str, reason: str) -> None:
    """Close a case; its files stay as they are.

    Found again, it is open again.  A released content is acted upon again.
    """
    with case_session() as found:
        closed = found.decisions().close(find_case(found, name), reason)
        print_case(found, closed, "closed")

"""``hashwacht cases restore|release|close``: decisions that can be taken back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from hashwacht.cli.case_session import (
    case_command,
    case_of,
    chosen_places,
    parents_option,
    place_option,
    reason_option,
    room,
)
from hashwacht.cli.click_ext import Example
from hashwacht.cli.options import identity_option, no_identity, read_identities, this_call
from hashwacht.cli.output import line
from hashwacht.cli.render.case_text import tell_case, tell_outcomes
from hashwacht.core.errors import ExitCode, UsageError


@case_command(
    Example("hashwacht cases restore 7 --identity key.txt", "Put its sealed files back."),
    Example(
        "hashwacht cases restore 7 --place 2 --identity key.txt --to /root/evidence/7-2.jpg",
        "Put one of them elsewhere.",
    ),
)
@place_option()
@identity_option()
@click.option(
    "--to",
    type=click.Path(path_type=bytes),
    metavar="PATH",
    help="Put it at this path; needs --place.",
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
    from hashwacht.cases.file_actions import Wish
    from hashwacht.storage.locations import PlaceState

    if to is not None and (len(numbers) != 1 or parents):
        raise UsageError(
            "--to is for one file and a directory that is there",
            advice="Choose the file with --place, and leave --parents out.",
        )
    with room() as found:
        case = case_of(found, name)
        places = chosen_places(
            found, case, numbers, PlaceState.QUARANTINED, PlaceState.HELD, PlaceState.RESTORING
        )
        secrets = read_identities(identities)
        if not secrets and any(place.state is not PlaceState.HELD for place in places):
            raise no_identity()
        path = None if to is None else os.path.abspath(to)  # noqa: PTH100  # links stay as they are
        wish, desk = Wish(reason, secrets, path, parents), found.desk()
        return tell_outcomes(case, (desk.restore(place, wish) for place in places))


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
    from hashwacht.cases.file_actions import Wish
    from hashwacht.storage.locations import PlaceState

    with room() as found:
        case = case_of(found, name)
        secrets = read_identities(identities)
        sealed = found.book.store.places.counts(case.key).get(PlaceState.QUARANTINED, 0)
        if sealed and not secrets and not keep_sealed:
            raise no_identity(" or --keep-sealed")
        wish = Wish(reason, secrets, make_parents=parents)
        ended = tell_outcomes(case, found.desk().release(case, wish, sealed_too=not keep_sealed))
        if not this_call().as_json:
            line(f"case {case.id}: released; its content is left alone from now on")
        return ended


@case_command(
    Example('hashwacht cases close 7 --reason "The customer has removed it."', "Deal with it."),
)
@reason_option()
def close(name: str, reason: str) -> None:
    """Say that a case is dealt with; nothing is done to its files.

    Found again, it is open again.  A released content is acted upon again.
    """
    with room() as found:
        closed = found.desk().close(case_of(found, name), reason)
        tell_case(found, closed, "closed")

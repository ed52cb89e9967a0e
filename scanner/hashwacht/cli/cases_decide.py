"""``hashwacht cases restore|release|destroy|close``: decisions, each with its reason."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hashwacht.cli.call import this_call
from hashwacht.cli.command import Example, command
from hashwacht.cli.figures import many, moment
from hashwacht.cli.output import emit, harmless, line
from hashwacht.cli.room import case_of, reason_option, room
from hashwacht.errors import CredentialError, ExitCode, UsageError
from hashwacht.paths import show

if TYPE_CHECKING:
    from hashwacht.casework.desk import Outcome
    from hashwacht.casework.workroom import Workroom
    from hashwacht.state.cases import Case
    from hashwacht.state.places import Place, PlaceState


def identity_option() -> Callable[[Any], Any]:
    """Make the option that opens what is sealed."""
    return click.option(
        "--identity",
        type=click.Path(allow_dash=True, path_type=Path),
        metavar="FILE",
        help="The private key of age that opens sealed files; - for standard input.",
    )


def place_option() -> Callable[[Any], Any]:
    """Make the option that chooses places."""
    return click.option(
        "--place",
        "numbers",
        type=int,
        multiple=True,
        metavar="NUMBER",
        help="Only this place of the case; may be repeated.",
    )


@command(
    Example("hashwacht cases restore 7 --identity key.txt", "Put its sealed files back."),
    Example(
        "hashwacht cases restore 7 --place 2 --identity key.txt --to /root/evidence",
        "Put one of them elsewhere.",
    ),
    json=True,
    name="restore",
)
@click.argument("name", metavar="CASE")
@place_option()
@identity_option()
@click.option(
    "--to",
    type=click.Path(path_type=bytes),
    metavar="PATH",
    help="Put it at this path; needs --place.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the audit log.")
def restore(
    name: str, numbers: Sequence[int], identity: Path | None, to: bytes | None, reason: str
) -> ExitCode:
    """Put sealed files of a case back as they were, and let held ones be served again.

    They are left alone at these places from now on; other copies are acted upon as before.
    """
    from hashwacht.state.places import PlaceState

    if to is not None and len(numbers) != 1:
        raise UsageError("--to is for one file", advice="Choose it with --place.")
    with room() as found:
        case = case_of(found, name)
        states = (PlaceState.QUARANTINED, PlaceState.HELD, PlaceState.RESTORING)
        places = _chosen(found, case, numbers, states)
        if not places:
            raise UsageError(
                f"case {case.id} has no such file that is sealed or held",
                advice=f"`hashwacht cases show {case.id}` says how its files stand.",
            )
        secrets = _secrets(identity)
        sealed = any(place.state is PlaceState.QUARANTINED for place in places)
        if sealed and not secrets:
            raise _no_key()
        path = None if to is None else os.path.abspath(to)  # noqa: PTH100  # links stay as they are
        desk = found.desk()
        return _tell(case, (desk.restore(place, secrets, reason, path) for place in places))


@command(
    Example(
        'hashwacht cases release 7 --reason "A logo; the list was wrong." --identity key.txt',
        "Give everything back, and leave that content alone.",
    ),
    json=True,
    name="release",
)
@click.argument("name", metavar="CASE")
@reason_option()
@identity_option()
@click.option("--keep-sealed", is_flag=True, help="Leave sealed files in the vault.")
def release(name: str, reason: str, identity: Path | None, *, keep_sealed: bool) -> ExitCode:
    """Leave a content alone from now on, wherever it lies, and give back all files of it.

    `hashwacht cases close` takes that back.
    """
    from hashwacht.state.places import PlaceState

    with room() as found:
        case = case_of(found, name)
        secrets = () if keep_sealed else _secrets(identity)
        sealed = found.book.store.places.counts(case.key).get(PlaceState.QUARANTINED, 0)
        if sealed and not secrets and not keep_sealed:
            raise _no_key(" or --keep-sealed")
        outcomes = found.desk().release(case, secrets, reason, sealed_too=not keep_sealed)
        ended = _tell(case, outcomes)
        if not this_call().as_json:
            line(f"case {case.id}: released; its content is left alone from now on")
        return ended


@command(
    Example(
        'hashwacht cases destroy 7 --reason "Kept for 180 days, police file 123/26 is closed."',
        "Destroy its sealed files; asks first.",
    ),
    json=True,
    name="destroy",
)
@click.argument("name", metavar="CASE")
@reason_option()
@place_option()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--early", is_flag=True, help="Also those that should be kept longer.")
def destroy(name: str, reason: str, numbers: Sequence[int], *, yes: bool, early: bool) -> ExitCode:
    """Destroy sealed files of a case for good; what is told is the receipt.

    Only those that were kept for quarantine.keep, unless --early is given.  The receipt stands in
    the audit log as well and stays in the vault.
    """
    from hashwacht.state.places import PlaceState

    keep = this_call().configuration().settings.quarantine.keep
    with room() as found:
        case = case_of(found, name)
        states = (PlaceState.QUARANTINED, PlaceState.DESTROYING)
        chosen = _chosen(found, case, numbers, states)
        oldest = found.book.clock() - keep
        places = [each for each in chosen if early or (each.acted or 0.0) < oldest]
        if not places:
            raise _nothing_to_destroy(case, chosen, keep)
        _confirm(case, len(places), yes=yes)
        desk = found.desk()
        ended = _tell(case, (desk.destroy(place, reason) for place in places))
        if not any(found.book.store.places.counts(case.key).get(state) for state in _unfinished()):
            desk.close(case, reason)
        return ended


@command(
    Example('hashwacht cases close 7 --reason "The customer has removed it."', "Deal with it."),
    name="close",
)
@click.argument("name", metavar="CASE")
@reason_option()
def close(name: str, reason: str) -> None:
    """Say that a case is dealt with; nothing is done to its files.

    Found again, it is open again.  A released content is acted upon again.
    """
    with room() as found:
        case = case_of(found, name)
        found.desk().close(case, reason)
        line(f"case {case.id}: closed")


def _unfinished() -> Sequence[PlaceState]:
    from hashwacht.casework.desk import UNFINISHED

    return UNFINISHED


def _chosen(
    found: Workroom, case: Case, numbers: Sequence[int], states: Sequence[PlaceState]
) -> list[Place]:
    """Give the places in one of *states*, those with these numbers if any are given."""
    places = found.book.store.places.of(case.key, -1, *states)[::-1]
    return [place for place in places if not numbers or place.number in numbers]


def _secrets(identity: Path | None) -> tuple[str, ...]:
    """Read the private keys.  Raises CredentialError."""
    from hashwacht.act.age import read_secrets

    if identity is None:
        return ()
    try:
        text = sys.stdin.read() if str(identity) == "-" else identity.read_text()
    except (OSError, ValueError) as error:
        raise CredentialError(
            f"{identity} cannot be read: {error}", advice="Name the file with the private key."
        ) from error
    return read_secrets(text)


def _no_key(other: str = "") -> UsageError:
    return UsageError(
        "some of its files are sealed",
        advice=f"Give --identity with the private key that opens them{other}.",
    )


def _nothing_to_destroy(case: Case, chosen: Sequence[Place], keep: float) -> UsageError:
    if not chosen:
        return UsageError(
            f"case {case.id} has no such file that is sealed",
            advice=f"`hashwacht cases show {case.id}` says how its files stand.",
        )
    until = min(place.acted or 0.0 for place in chosen) + keep
    return UsageError(
        f"its sealed files are to be kept until {moment(until)} at least",
        advice="Wait, or give --early if nobody needs them any more.",
    )


def _confirm(case: Case, number: int, *, yes: bool) -> None:
    """Ask before what cannot be undone.  Raises UsageError if nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("destroying cannot be undone", advice="Give --yes to do it unasked.")
    what = many(number, "sealed file")
    click.confirm(f"Destroy {what} of case {case.id} for good?", abort=True, err=True)


def _tell(case: Case, outcomes: Iterable[Outcome]) -> ExitCode:
    """Tell what came of each place; exit code 2 if something could not be done."""
    ended = ExitCode.OK
    for each in outcomes:
        place, problem = each.place, each.problem
        if problem is not None:
            ended = ExitCode.ERROR
        if this_call().as_json:
            _emit(case, each)
        elif problem is None:
            line(harmless(f"place {place.number}: {place.state}  ") + show(place.path))
            if each.receipt is not None:
                line(f"{'':9}receipt {json.dumps(each.receipt)}")
        else:
            line(harmless(f"place {place.number}: NOT DONE, {problem}  ") + show(place.path))
            line(harmless(f"{'':9}{problem.advice}"))
    return ended


def _emit(case: Case, outcome: Outcome) -> None:
    from hashwacht.casework.case_json import place_to_json

    problem = outcome.problem
    fields: dict[str, object] = {"case": case.id, "sha256": case.key}
    fields |= place_to_json(outcome.place)
    fields |= {"done": problem is None, "receipt": outcome.receipt}
    if problem is not None:
        fields |= {"problem": problem.problem, "advice": problem.advice}
    emit("place", fields)

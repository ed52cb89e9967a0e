"""Where commands work on cases: beside the daemon, or without it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from hashwacht.cli.click_ext import Command, Example, command
from hashwacht.cli.options import global_options
from hashwacht.core.errors import UsageError
from hashwacht.settings.units import parse_duration

if TYPE_CHECKING:
    from hashwacht.audit.chain import JSON
    from hashwacht.cases.factory import CaseServices
    from hashwacht.settings import Settings
    from hashwacht.storage.cases import Case
    from hashwacht.storage.locations import FileLocation, LocationState

_DIGEST = 64


def invoking_user() -> str:
    """Name who runs this command, for the audit log."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"user {uid}"
    sudo = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo: {sudo[:100]})" if sudo else name


def record_audit(settings: Settings, act: str, facts: Mapping[str, JSON]) -> None:
    """Write an act of whoever runs this command into the audit log.  Raises StorageError."""
    from hashwacht import bootstrap

    bootstrap.audit_log(settings).append(act, invoking_user(), facts)


@contextmanager
def optional_case_session() -> Iterator[CaseServices | None]:
    """Open the state with everything that works on cases; None if there is no state yet."""
    from hashwacht import bootstrap
    from hashwacht.storage.store import FILE_NAME

    settings = global_options().configuration().settings
    if not (settings.state.path / FILE_NAME).exists():
        yield None
        return
    with bootstrap.store(settings) as store:
        yield bootstrap.case_services(settings, store, invoking_user())


@contextmanager
def case_session() -> Iterator[CaseServices]:
    """Do the same for a command that needs one.  Raises UsageError."""
    with optional_case_session() as found:
        if found is None:
            raise UsageError(
                "there is no case yet", advice="`hashwacht daemon` opens one for each match."
            )
        yield found


def case_command(*examples: Example) -> Callable[[Callable[..., Any]], Command]:
    """Make a function into a command for one case, whose *name* is the first argument."""

    def made(function: Callable[..., Any]) -> Command:
        return command(*examples, json=True)(click.argument("name", metavar="CASE")(function))

    return made


def find_case(found: CaseServices, name: str) -> Case:
    """Find a case by its number or by the SHA-256 of its content.  Raises UsageError."""
    cases = found.ledger.store.cases
    case = None
    with suppress(ValueError, OverflowError):
        case = cases.load_by_key(name) if len(name) == _DIGEST else cases.load(int(name))
    if case is None:
        raise UsageError(
            f"there is no case {name}", advice="`hashwacht cases list` names all of them."
        )
    return case


def time_option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """Make an option that is a date, a time or a span before now; None if not given."""
    return click.option(*names, callback=_moment, metavar="TIME", default=None, **attributes)


def _moment(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass
    try:
        return datetime.now().timestamp() - parse_duration(text)  # noqa: DTZ005  # only a difference
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a date nor a span like 12h or 7d") from None


def reason_option(*, required: bool = True) -> Callable[[Any], Any]:
    """Make the option for what a decision cannot do without; empty if it is not *required*."""
    return click.option(
        "--reason",
        required=required,
        default=None if required else "",
        callback=require_text if required else None,
        metavar="TEXT",
        help="Why; it stands in the audit log.",
    )


def require_text(_: click.Context, parameter: click.Parameter, text: str) -> str:
    """Refuse a text that says nothing.  Raises click.BadParameter."""
    if not text.strip():
        raise click.BadParameter(f"{parameter.human_readable_name} says nothing")
    return text


def file_option() -> Callable[[Any], Any]:
    """Make the option that chooses places."""
    return click.option(
        "--file",
        "numbers",
        type=int,
        multiple=True,
        metavar="NUMBER",
        help="Only this file of the case; may be repeated.",
    )


def parents_option() -> Callable[[Any], Any]:
    """Make the option for files whose directories are gone."""
    return click.option(
        "--parents",
        is_flag=True,
        help="Make directories that are not there any more, with owner and mode of the last one.",
    )


def select_files(
    found: CaseServices, case: Case, numbers: Sequence[int], *states: LocationState
) -> list[FileLocation]:
    """Return the files of a case in one of *states*, the oldest first; all if none is selected.

    Raises UsageError if there is none, or one was chosen that is not so.
    """
    places = {
        place.number: place
        for place in found.ledger.store.locations.load_by_content(case.key, -1, *states)[::-1]
    }
    so, see = " or ".join(states), f"`hashwacht cases show {case.id}` says how its files stand."
    if not places:
        raise UsageError(f"no file of case {case.id} is {so}", advice=see)
    for number in numbers:
        if number not in places:
            raise UsageError(f"file {number} of case {case.id} is not {so}", advice=see)
    return [place for place in places.values() if not numbers or place.number in numbers]

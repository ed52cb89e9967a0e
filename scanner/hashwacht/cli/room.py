"""Where commands work on cases: beside the daemon, or without it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from hashwacht.cli.call import this_call
from hashwacht.errors import UsageError
from hashwacht.settings.units import read_duration

if TYPE_CHECKING:
    from hashwacht.casework.workroom import Workroom
    from hashwacht.settings import Settings
    from hashwacht.state.audit_line import JSON
    from hashwacht.state.cases import Case

_DIGEST = 64


def who() -> str:
    """Name who runs this command, for the audit log."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"user {uid}"
    sudo = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo: {sudo[:100]})" if sudo else name


def record(settings: Settings, act: str, facts: Mapping[str, JSON]) -> None:
    """Write an act of whoever runs this command into the audit log.  Raises StateError."""
    from hashwacht import compose

    compose.audit_log(settings).append(act, who(), facts)


@contextmanager
def opened_room() -> Iterator[Workroom | None]:
    """Open the state with everything that works on cases; None if there is no state yet."""
    from hashwacht import compose
    from hashwacht.state.store import FILE_NAME

    settings = this_call().configuration().settings
    if not (settings.state.path / FILE_NAME).exists():
        yield None
        return
    with compose.store(settings) as store:
        yield compose.workroom(settings, store, who())


@contextmanager
def room() -> Iterator[Workroom]:
    """Do the same for a command that needs one.  Raises UsageError."""
    with opened_room() as found:
        if found is None:
            raise UsageError(
                "there is no case yet", advice="`hashwacht daemon` opens one for each match."
            )
        yield found


def case_of(found: Workroom, name: str) -> Case:
    """Find a case by its number or by the SHA-256 of its content.  Raises UsageError."""
    cases = found.book.store.cases
    case = None
    with suppress(ValueError, OverflowError):
        case = cases.find(name) if len(name) == _DIGEST else cases.get(int(name))
    if case is None:
        raise UsageError(
            f"there is no case {name}", advice="`hashwacht cases list` names all of them."
        )
    return case


def moment_option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
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
        return datetime.now().timestamp() - read_duration(text)  # noqa: DTZ005  # only a difference
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither a date nor a span like 12h or 7d") from None


def reason_option() -> Callable[[Any], Any]:
    """Make the option that a decision cannot do without."""
    return click.option(
        "--reason", required=True, metavar="TEXT", help="Why; it stands in the audit log."
    )

"""Access to the storage and its cases for commands, with the daemon running or not."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from hashwacht.cli.click_ext import Command, Example, command
from hashwacht.cli.options import global_options
from hashwacht.core.errors import UsageError

if TYPE_CHECKING:
    from hashwacht.audit.chain import JSON
    from hashwacht.cases.evidence_check import EvidenceFinding
    from hashwacht.cases.service import CaseServices
    from hashwacht.settings import Settings
    from hashwacht.storage.cases import Case
    from hashwacht.storage.locations import FileLocation, LocationState
    from hashwacht.storage.store import Store

_EVENT = re.compile(r"(?:Hashwacht\.Refused\.)?([0-9A-Fa-f]{8})")
"""The event of an upload, or the name in which the gateway shows it."""

_DIGEST_LENGTH = 64


def invoking_user() -> str:
    """Return the name of the user that runs this command, for the audit log."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"user {uid}"
    sudo = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo: {sudo[:100]})" if sudo else name


def record_audit(settings: Settings, act: str, facts: Mapping[str, JSON]) -> None:
    """Record an act of the invoking user in the audit log.  Raises StorageError."""
    from hashwacht import bootstrap

    bootstrap.audit_log(settings).append(act, invoking_user(), facts)


@contextmanager
def existing_store() -> Iterator[Store | None]:
    """Open the storage; None if there is none yet, which is then not created."""
    from hashwacht import bootstrap
    from hashwacht.storage.store import FILE_NAME

    settings = global_options().configuration().settings
    if not (settings.state.path / FILE_NAME).exists():
        yield None
        return
    with bootstrap.store(settings) as store:
        yield store


def find_contradictions() -> list[EvidenceFinding]:
    """Return what audit log, storage and vault contradict each other in.  Raises StorageError."""
    from hashwacht import bootstrap

    settings = global_options().configuration().settings
    with existing_store() as store:
        return bootstrap.evidence_check(settings, store).run()


@contextmanager
def optional_case_session() -> Iterator[CaseServices | None]:
    """Open the storage with the services for its cases; None if there is no storage yet."""
    from hashwacht import bootstrap

    with existing_store() as store:
        if store is None:
            yield None
        else:
            settings = global_options().configuration().settings
            yield bootstrap.case_services(settings, store, invoking_user())


@contextmanager
def case_session() -> Iterator[CaseServices]:
    """Open the storage with the services for its cases.  Raises UsageError if there is none."""
    with optional_case_session() as services:
        if services is None:
            raise UsageError(
                "there are no cases yet", advice="Run `hashwacht daemon`: it opens them."
            )
        yield services


def case_command(*examples: Example) -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator for a command whose first argument, *name*, is a case."""

    def decorate(function: Callable[..., Any]) -> Command:
        return command(*examples, json=True)(click.argument("name", metavar="CASE")(function))

    return decorate


def find_case(services: CaseServices, name: str) -> Case:
    """Load a case by its number, the SHA-256 of its content, or the event of an upload.

    An event is given as its eight digits or as the whole name that the uploader was shown.  Raises
    UsageError.
    """
    store = services.ledger.store
    case = None
    if event := _EVENT.fullmatch(name):
        key = store.uploads.key_of_event(event[1].lower())
        case = store.cases.load_by_key(key) if key else None
    if case is None:
        with suppress(ValueError, OverflowError):
            by_key = len(name) == _DIGEST_LENGTH
            case = store.cases.load_by_key(name) if by_key else store.cases.load(int(name))
    if case is None:
        raise UsageError(f"no case {name}", advice="Run `hashwacht cases list` to list all cases.")
    return case


def select_files(
    services: CaseServices, case: Case, numbers: Sequence[int], *states: LocationState
) -> list[FileLocation]:
    """Return the files of a case in one of *states*, oldest first; *numbers* select some of them.

    Raises UsageError if no file, or not every selected file, is in one of these states.
    """
    locations = {
        location.number: location
        for location in services.ledger.store.locations.load_by_content(case.key, -1, *states)[::-1]
    }
    wanted = " or ".join(states)
    advice = f"Run `hashwacht cases show {case.id}` to see the state of its files."
    if not locations:
        raise UsageError(f"no file of case {case.id} is {wanted}", advice=advice)
    for number in numbers:
        if number not in locations:
            raise UsageError(f"file {number} of case {case.id} is not {wanted}", advice=advice)
    return [locations[number] for number in locations if not numbers or number in numbers]

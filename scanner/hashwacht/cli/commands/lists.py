"""``hashwacht lists``: manage the local hash lists."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from hashwacht.audit.log import AuditEvent
from hashwacht.cli.case_session import record_audit
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.commands.lists_import import import_list, list_facts
from hashwacht.cli.commands.lists_update import update
from hashwacht.cli.options import (
    fingerprint_input,
    global_options,
    number_option,
    yes_option,
)
from hashwacht.cli.output import print_cut, print_diagnostic, print_result, print_text
from hashwacht.cli.render.comparison_text import entry_fields, entry_line
from hashwacht.cli.render.list_text import list_fields, list_lines
from hashwacht.core.errors import ExitCode
from hashwacht.core.text import plural

if TYPE_CHECKING:
    from hashwacht.matching.hashlists.manager import HashLists
    from hashwacht.matching.hashlists.manifest import HashList


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht lists import police known.csv", "Import a list and name it police."),
        Example("hashwacht lists show", "Show the installed lists."),
    ),
)
def lists_command() -> None:
    """Import, update, show, change, remove and verify local hash lists.

    Hash lists are secret: only the owner can read their files, and no command prints their
    values.
    """


def _installed() -> HashLists:
    from hashwacht import bootstrap

    return bootstrap.hash_lists(global_options().configuration().settings)


def _record(act: str, changed: HashList) -> None:
    """Record a change of a list in the audit log, without its values."""
    record_audit(global_options().configuration().settings, act, list_facts(changed))


@command(
    Example("hashwacht lists show", "Show all installed lists."),
    Example("hashwacht lists show police", "Show one list."),
    json=True,
    name="show",
)
@click.argument("names", metavar="[NAME...]", nargs=-1)
def show(names: Sequence[str]) -> None:
    """Show installed lists: types, counts, radii, source, date, and what was left out."""
    lists = _installed()
    selected = [lists.get(name) for name in names] or lists.all()
    for hash_list in selected:
        print_result("list", list_fields(hash_list), *list_lines(hash_list))
    if not selected:
        print_text("No hash list is installed. Import one: `hashwacht lists import NAME FILE`.")


@command(
    Example("hashwacht lists set-radius police pdq 20", "Match PDQ hashes up to 20 bits off."),
    name="set-radius",
)
@click.argument("name")
@click.argument("signal_type", metavar="TYPE")
@click.argument("bits", type=click.IntRange(0))
def radius(name: str, signal_type: str, bits: int) -> None:
    """Change the Hamming distance up to which a picture hash matches."""
    changed = _installed().set_radius(name, signal_type, bits)
    _record(AuditEvent.LIST_CHANGED, changed)
    print_text(*list_lines(changed))


@command(
    Example("hashwacht lists remove police", "Remove the list and delete its files."),
    name="remove",
)
@click.argument("name")
@yes_option()
def remove(name: str, *, yes: bool) -> None:
    """Remove a list and delete its files.

    Asks for confirmation on a terminal.  Matches already found stay recorded.
    """
    lists = _installed()
    entries = plural(lists.get(name).entries, "entry", "entries")
    if sys.stdin.isatty() and not yes:
        click.confirm(f"Remove list {name} with {entries}?", abort=True, err=True)
    removed = lists.remove(name)
    _record(AuditEvent.LIST_REMOVED, removed)
    print_text(f"{removed.name}: removed, {plural(removed.entries, 'entry', 'entries')}")


@command(
    Example("hashwacht lists verify", "Verify all installed lists."),
    json=True,
    name="verify",
)
@click.argument("names", metavar="[NAME...]", nargs=-1)
def verify(names: Sequence[str]) -> ExitCode:
    """Verify that lists are intact and only readable by their owner; exit code 2 if not."""
    diagnostics = _installed().verify(names)
    for diagnostic in diagnostics:
        print_diagnostic(diagnostic)
    return ExitCode.OK if all(diagnostic.ok for diagnostic in diagnostics) else ExitCode.ERROR


@command(
    Example("hashwacht lists test found.jpg --list police", "Show the nearest entries."),
    Example(
        "hashwacht lists test found.jpg --list police --within 60", "Show entries farther away."
    ),
    json=True,
    name="test",
)
@click.argument("picture", type=click.Path(path_type=bytes))
@click.option("--list", "name", metavar="NAME", required=True, help="The list to search.")
@click.option(
    "--within",
    type=click.IntRange(0, 128),
    default=40,
    metavar="BITS",
    help="Show entries up to this distance, whatever the radius of the list.  [default: 40]",
)
@number_option(20, "entries")
def test(picture: bytes, name: str, within: int, number: int) -> ExitCode:
    """Show the entries of a list that are nearest to a picture, and in which view.

    For choosing radii: see `lists set-radius` and [matchers.NAME] views.  The exit code is 1 if an
    entry matches, else 0.
    """
    from hashwacht import bootstrap
    from hashwacht.core.signals import PICTURE_HASHES

    settings = global_options().configuration().settings
    types = {signal_type.name for signal_type in PICTURE_HASHES}
    with closing(bootstrap.fingerprinter(settings, types)) as fingerprinter:
        fingerprint = fingerprint_input(fingerprinter, picture)
    signals = [signal for signal in fingerprint.signals if signal.type in types]
    view_radii = bootstrap.list_view_radii(settings)
    nearest = _installed().nearest(name, signals, within, view_radii)
    for entry in nearest[:number]:
        print_result("entry", entry_fields(entry), entry_line(entry))
    if not nearest:
        print_text(f"No entry of {name} is within {within} bits: use --within to search farther.")
    if len(nearest) > number:
        print_cut(number, "entries")
    return ExitCode.MATCH if any(entry.hash.matches for entry in nearest) else ExitCode.OK


for subcommand in (import_list, update, show, radius, remove, verify, test):
    lists_command.add_command(subcommand)

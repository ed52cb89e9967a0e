"""``hashwacht lists``: import, show, change, remove and verify local hash lists."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hashwacht.audit.log import AuditEvent
from hashwacht.cli.case_session import record_audit
from hashwacht.cli.click_ext import Example, Group, command
from hashwacht.cli.commands.lists_import import import_list, list_facts
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, escape_lines, line
from hashwacht.core.errors import ExitCode
from hashwacht.core.text import count, escape_text, format_size, format_time, plural

if TYPE_CHECKING:
    from hashwacht.matching.hashlists.manager import HashLists
    from hashwacht.matching.hashlists.manifest import HashList


@click.group(
    cls=Group,
    examples=(
        Example("hashwacht lists import police known.csv", "Install a list under the name police."),
        Example("hashwacht lists show", "Say which lists are installed."),
    ),
)
def lists_command() -> None:
    """Import, show, change, remove and verify local hash lists.

    Lists are secrets: their files are readable by their owner alone, and nothing here ever
    prints a value of one.
    """


def _installed() -> HashLists:
    from hashwacht import bootstrap

    return bootstrap.hash_lists(global_options().configuration().settings)


def _recorded(act: str, changed: HashList) -> None:
    """Write a change of a list into the audit log, without any value of it."""
    record_audit(global_options().configuration().settings, act, list_facts(changed))


@command(
    Example("hashwacht lists show", "Say which lists are installed, and what they hold."),
    Example("hashwacht lists show police", "The same for one of them."),
    json=True,
    name="show",
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
def show(names: Sequence[str]) -> None:
    """Show installed lists: types, counts, radii, source and date."""
    lists = _installed()
    found = [lists.get(name) for name in names] or lists.all()
    for each in found:
        if global_options().as_json:
            emit("list", _fields(each))
        else:
            line(escape_lines(_text(each)))
    if not found and not global_options().as_json:
        line("No list is installed: begin with `hashwacht lists import NAME FILE`.")


def _text(each: HashList) -> str:
    kind = "suppresses matches" if each.known_good else f"category {each.category}"
    left_out = f", {count(each.malformed)} lines left out" if each.malformed else ""
    imported = f"imported {format_time(each.imported_at)} from {each.source or 'somewhere'}"
    rows = [
        f"{each.name}: {plural(each.entries, 'entry', 'entries')}, {kind}",
        f"  {imported}{left_out}, {format_size(each.size)} on disk",
    ]
    for name, index in each.types.items():
        near = f"up to {plural(index.radius, 'bit')} off" if index.radius else "equal only"
        rows.append(f"  {name:10}{count(index.count):>14}  {near}")
    return "\n".join(rows)


def _fields(each: HashList) -> dict[str, object]:
    types = {
        name: {"entries": index.count, "radius": index.radius} for name, index in each.types.items()
    }
    return {
        "list": each.name,
        "category": each.category,
        "known_good": each.known_good,
        "entries": each.entries,
        "types": types,
        "imported_at": each.imported_at,
        "source": each.source,
        "source_sha256": each.source_sha256,
        "malformed": each.malformed,
        "bytes": each.size,
        "revision": each.revision,
    }


@command(
    Example(
        "hashwacht lists set-radius police pdq 20", "Match pictures up to 20 bits off, from now."
    ),
    name="set-radius",
)
@click.argument("name")
@click.argument("signal_type", metavar="TYPE")
@click.argument("bits", type=click.IntRange(0))
def radius(name: str, signal_type: str, bits: int) -> None:
    """Change up to which Hamming distance values of a picture hash match."""
    changed = _installed().set_radius(name, signal_type, bits)
    _recorded(AuditEvent.LIST_CHANGED, changed)
    line(escape_lines(_text(changed)))


@command(
    Example("hashwacht lists remove police", "Uninstall it and delete its files."),
    name="remove",
)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, *, yes: bool) -> None:
    """Uninstall a list and delete its files.

    On a terminal it asks first.  Matches that were found stay recorded.
    """
    lists = _installed()
    found = lists.get(name)
    if sys.stdin.isatty() and not yes:
        entries = plural(found.entries, "entry", "entries")
        click.confirm(f"Remove {name} with {entries}?", abort=True, err=True)
    gone = lists.remove(name)
    _recorded(AuditEvent.LIST_REMOVED, gone)
    line(escape_text(f"{gone.name}: removed, {plural(gone.entries, 'entry', 'entries')}"))


@command(
    Example("hashwacht lists verify", "Read every list and compare it with what was imported."),
    json=True,
    name="verify",
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
def verify(names: Sequence[str]) -> ExitCode:
    """Read lists through and say whether they are intact and private; exit code 2 if not."""
    findings = _installed().verify(names)
    for each in findings:
        if global_options().as_json:
            fields = {"ok": each.ok, "detail": each.detail, "advice": each.advice}
            emit("finding", {"subject": each.subject, **fields})
        else:
            line(escape_text(f"{'right' if each.ok else 'WRONG':7}{each.subject}: {each.detail}"))
            if each.advice:
                line(escape_text(f"{'':7}{each.advice}"))
    return ExitCode.OK if all(each.ok for each in findings) else ExitCode.ERROR


for each_command in (import_list, show, radius, remove, verify):
    lists_command.add_command(each_command)

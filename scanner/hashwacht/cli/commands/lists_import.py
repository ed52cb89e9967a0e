"""``hashwacht lists import``: install a hash list that somebody handed over."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar

import click

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent
from hashwacht.cli.case_session import record_audit
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.errors import UsageError
from hashwacht.core.text import count, escape_text, plural

if TYPE_CHECKING:
    from hashwacht.matching.hashlists.importer import ImportProgress
    from hashwacht.matching.hashlists.manager import ImportResult
    from hashwacht.matching.hashlists.manifest import HashList
    from hashwacht.matching.hashlists.parser import ParseOptions

Function = TypeVar("Function", bound=Callable[..., Any])


def _pairs(_: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Read ``name=value`` options."""
    pairs = {}
    for each in values:
        name, equals, value = each.partition("=")
        if not (name and equals and value):
            raise click.BadParameter(f"{each!r} is not written {parameter.metavar}")
        pairs[name] = value
    return pairs


_READING: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--format",
        "written",
        type=click.Choice(["text", "csv", "jsonl"]),
        help="How it is written, instead of recognising it.",
    ),
    click.option(
        "--type",
        "default_type",
        default="",
        metavar="TYPE",
        help="The signal type of lines that name none.",
    ),
    click.option(
        "--column",
        "columns",
        multiple=True,
        callback=_pairs,
        metavar="MEANING=TITLE",
        help="Which column of a CSV file is the value, type, id or category; may be repeated.",
    ),
    click.option(
        "--delimiter",
        default="",
        metavar="CHARACTER",
        help="What separates the fields of a CSV file, instead of recognising it.",
    ),
)

_TERMS: tuple[Callable[[Any], Any], ...] = (
    click.option("--category", default="", help="What a match means; csam if nothing is said."),
    click.option(
        "--known-good", is_flag=True, help="A list that suppresses matches instead of making them."
    ),
    click.option(
        "--radius",
        "radii",
        multiple=True,
        callback=_pairs,
        metavar="TYPE=BITS",
        help="Up to which distance a picture hash matches (31 for pdq); may be repeated.",
    ),
    click.option(
        "--allow-malformed",
        is_flag=True,
        help="Leave malformed lines out and name them, instead of importing nothing.",
    ),
)


def _options(*options: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Apply decorators so that the help shows them in this order."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@command(
    Example("hashwacht lists import police known.csv", "CSV with a header, or type value lines."),
    Example("hashwacht lists import police --type md5 md5.txt", "A bare MD5 on every line."),
    Example(
        "hashwacht lists import hotline --column value=Hash --column id=Case export.csv",
        "Say which columns of a CSV file mean what.",
    ),
    Example(
        "hashwacht lists import wordpress --known-good wordpress.jsonl",
        "A list that suppresses matches, visibly.",
    ),
    json=True,
    name="import",
)
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@_options(*_READING, *_TERMS)
def import_list(  # noqa: PLR0917  # click calls it by keyword
    name: str,
    file: Path,
    written: str | None,
    default_type: str,
    columns: dict[str, str],
    delimiter: str,
    category: str,
    known_good: bool,
    radii: dict[str, str],
    allow_malformed: bool,
) -> None:
    """Install the list in FILE (- for standard input) as NAME, in place of one of that name.

    It is one "type value" a line, CSV with a header, or JSON lines.  It is imported as a whole
    or not at all, and takes effect at once.  `hashwacht recheck` then asks it about everything
    that was ever scanned, without reading the disk.
    """
    from hashwacht import bootstrap
    from hashwacht.matching.hashlists.manifest import ListMetadata

    call = global_options()
    metadata = ListMetadata(name, category, known_good, _bits(radii), str(file))
    reading = _reading(written, default_type, columns, delimiter)
    settings = call.configuration().settings
    lists = bootstrap.hash_lists(settings)
    with _source(file) as source, _Shown(live=not call.as_json and sys.stderr.isatty()) as shown:
        done = lists.import_list(
            source, metadata, reading, allow_malformed=allow_malformed, on_progress=shown
        )
    record_audit(
        settings,
        AuditEvent.LIST_IMPORTED,
        {**list_facts(done.list), "malformed": done.list.malformed},
    )
    _tell(done, as_json=call.as_json)


def list_facts(each: HashList) -> dict[str, JSON]:
    """Return the facts about a list for the audit log, without any of its values."""
    return {
        "list": each.name,
        "category": each.category,
        "known_good": each.known_good,
        "entries": each.entries,
        "radii": {name: index.radius for name, index in each.types.items()},
        "source_sha256": each.source_sha256,
        "revision": each.revision,
    }


def _bits(radii: dict[str, str]) -> dict[str, int]:
    try:
        return {name: int(bits) for name, bits in radii.items()}
    except ValueError:
        raise UsageError(
            "a radius must be a whole number of bits", advice="Write --radius pdq=20."
        ) from None


def _reading(
    written: str | None, default_type: str, columns: dict[str, str], delimiter: str
) -> ParseOptions:
    from hashwacht.matching.hashlists.list_formats import CsvColumns
    from hashwacht.matching.hashlists.parser import ListFormat, ParseOptions

    if unknown := sorted(set(columns) - {"value", "type", "id", "category"}):
        raise UsageError(
            f"--column {unknown[0]}: no such meaning",
            advice="A column can be the value, type, id or category.",
        )
    return ParseOptions(
        format=ListFormat(written) if written else None,
        default_type=default_type,
        columns=CsvColumns(**columns) if columns else None,
        delimiter=delimiter,
    )


def _source(file: Path) -> AbstractContextManager[BinaryIO]:
    if str(file) == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return file.open("rb")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", advice="Check the path.") from error


class _Shown:
    """Shows how far an import is, on one line of a terminal."""

    def __init__(self, *, live: bool) -> None:
        self._live = live

    def __call__(self, now: ImportProgress) -> None:
        if self._live:
            left_out = f", {count(now.malformed)} malformed" if now.malformed else ""
            sys.stderr.write(f"\r\x1b[K{now.stage}: {count(now.lines)} lines{left_out}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")


def _tell(done: ImportResult, *, as_json: bool) -> None:
    made = done.list
    if as_json:
        fields = {
            "list": made.name,
            "entries": made.entries,
            "types": {name: index.count for name, index in made.types.items()},
            "replaced": done.replaced is not None,
            "malformed": made.malformed,
            "rejected": [
                {"line": each.line, "reason": each.reason} for each in done.first_rejected
            ],
        }
        emit("imported", fields)
        return
    types = ", ".join(f"{name} {count(index.count)}" for name, index in made.types.items())
    old = f", in place of {count(done.replaced.entries)}" if done.replaced else ""
    line(f"{made.name}: {plural(made.entries, 'entry', 'entries')} ({types}){old}")
    for each in done.first_rejected:
        line(escape_text(f"  line {each.line} left out: {each.reason}"))
    if made.malformed > len(done.first_rejected):
        line(f"  {count(made.malformed)} malformed lines in all")
    line("`hashwacht recheck` asks it about everything that was scanned before.")

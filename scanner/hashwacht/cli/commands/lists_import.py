"""``hashwacht lists import``: read a hash list from a file and install it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

import click

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent
from hashwacht.cli.case_session import record_audit
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import print_result
from hashwacht.core.errors import UsageError
from hashwacht.core.text import count, plural

if TYPE_CHECKING:
    from hashwacht.matching.hashlists.importer import ImportProgress
    from hashwacht.matching.hashlists.manager import ImportResult
    from hashwacht.matching.hashlists.manifest import HashList
    from hashwacht.matching.hashlists.parser import ParseOptions


def _pairs(_: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    """Parse ``name=value`` options."""
    pairs = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.BadParameter(f"{text!r} is not of the form {parameter.metavar}")
        pairs[name] = value
    return pairs


@command(
    Example("hashwacht lists import police known.csv", "Import CSV or `type value` lines."),
    Example("hashwacht lists import police --type md5 md5.txt", "Import lines with bare MD5s."),
    Example(
        "hashwacht lists import hotline --column value=Hash --column id=Case export.csv",
        "Import a CSV file with other column titles.",
    ),
    Example(
        "hashwacht lists import wordpress --known-good wordpress.jsonl",
        "Import a list that suppresses false matches.",
    ),
    json=True,
    name="import",
)
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["text", "csv", "jsonl"]),
    help="File format.  [default: detected]",
)
@click.option(
    "--type",
    "default_type",
    default="",
    metavar="TYPE",
    help="Signal type of values without one, such as md5.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    callback=_pairs,
    metavar="FIELD=TITLE",
    help="Title of the CSV column with the value, type, id or category.  May be repeated.",
)
@click.option(
    "--delimiter",
    default="",
    metavar="CHARACTER",
    help="Delimiter of a CSV file.  [default: detected]",
)
@click.option(
    "--category",
    default="",
    metavar="NAME",
    help="Category of matches with this list.  [default: csam]",
)
@click.option("--known-good", is_flag=True, help="Use the list to suppress false matches.")
@click.option(
    "--radius",
    "radii",
    multiple=True,
    callback=_pairs,
    metavar="TYPE=BITS",
    help="Hamming distance up to which a picture hash matches.  May be repeated.  [default for"
    " pdq: 31]",
)
@click.option(
    "--allow-malformed",
    is_flag=True,
    help="Skip and report malformed lines instead of rejecting the file.",
)
def import_list(  # noqa: PLR0917  # click calls it by keyword
    name: str,
    file: Path,
    file_format: str | None,
    default_type: str,
    columns: dict[str, str],
    delimiter: str,
    category: str,
    known_good: bool,
    radii: dict[str, str],
    allow_malformed: bool,
) -> None:
    """Import the hash list in FILE (- for standard input) as NAME, replacing a list of that name.

    FILE contains "type value" lines, CSV with a header, or JSON lines.  It is imported completely
    or not at all, and takes effect at once.  Run `hashwacht recheck` afterwards to look up
    everything scanned so far, without reading the files again.
    """
    from hashwacht import bootstrap
    from hashwacht.matching.hashlists.manifest import ListMetadata

    call = global_options()
    metadata = ListMetadata(name, category, known_good, _bits(radii), str(file))
    options = _parse_options(file_format, default_type, columns, delimiter)
    settings = call.configuration().settings
    lists = bootstrap.hash_lists(settings)
    live = not call.as_json and sys.stderr.isatty()
    with _open(file) as source, _ProgressLine(live=live) as progress:
        result = lists.import_list(
            source, metadata, options, allow_malformed=allow_malformed, on_progress=progress
        )
    facts = {**list_facts(result.list), "malformed": result.list.malformed}
    record_audit(settings, AuditEvent.LIST_IMPORTED, facts)
    print_result("imported", _fields(result), *_lines(result))


def list_facts(hash_list: HashList) -> dict[str, JSON]:
    """Return the properties of a list for the audit log, without its values."""
    return {
        "list": hash_list.name,
        "category": hash_list.category,
        "known_good": hash_list.known_good,
        "entries": hash_list.entries,
        "radii": {name: index.radius for name, index in hash_list.types.items()},
        "source_sha256": hash_list.source_sha256,
        "revision": hash_list.revision,
    }


def _bits(radii: dict[str, str]) -> dict[str, int]:
    try:
        return {name: int(bits) for name, bits in radii.items()}
    except ValueError:
        raise UsageError(
            "a radius must be a whole number of bits", advice="Use, for example, --radius pdq=20."
        ) from None


def _parse_options(
    file_format: str | None, default_type: str, columns: dict[str, str], delimiter: str
) -> ParseOptions:
    from hashwacht.matching.hashlists.list_formats import CsvColumns
    from hashwacht.matching.hashlists.parser import ListFormat, ParseOptions

    if unknown := sorted(set(columns) - {"value", "type", "id", "category"}):
        raise UsageError(
            f"--column {unknown[0]}: unknown field",
            advice="Use value, type, id or category.",
        )
    return ParseOptions(
        format=ListFormat(file_format) if file_format else None,
        default_type=default_type,
        columns=CsvColumns(**columns) if columns else None,
        delimiter=delimiter,
    )


def _open(file: Path) -> AbstractContextManager[BinaryIO]:
    if str(file) == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return file.open("rb")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", advice="Check the path.") from error


class _ProgressLine:
    """Shows the progress of an import on one line of a terminal."""

    def __init__(self, *, live: bool) -> None:
        self._live = live

    def __call__(self, progress: ImportProgress) -> None:
        if self._live:
            malformed = f", {count(progress.malformed)} malformed" if progress.malformed else ""
            sys.stderr.write(f"\r\x1b[K{progress.stage}: {count(progress.lines)} lines{malformed}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")


def _fields(result: ImportResult) -> dict[str, object]:
    hash_list = result.list
    return {
        "list": hash_list.name,
        "entries": hash_list.entries,
        "types": {name: index.count for name, index in hash_list.types.items()},
        "replaced": result.replaced is not None,
        "malformed": hash_list.malformed,
        "rejected": [{"line": row.line, "reason": row.reason} for row in result.first_rejected],
    }


def _lines(result: ImportResult) -> Iterator[str]:
    hash_list = result.list
    types = ", ".join(f"{name} {count(index.count)}" for name, index in hash_list.types.items())
    replaced = f", replaces {count(result.replaced.entries)}" if result.replaced else ""
    yield f"{hash_list.name}: {plural(hash_list.entries, 'entry', 'entries')} ({types}){replaced}"
    for row in result.first_rejected:
        yield f"  line {row.line} skipped: {row.reason}"
    if hash_list.malformed > len(result.first_rejected):
        yield f"  {count(hash_list.malformed)} malformed lines in total"
    yield "Run `hashwacht recheck` to look up everything scanned so far."

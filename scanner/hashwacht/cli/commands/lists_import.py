"""``hashwacht lists import``: read a hash list from a file and install it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

import click

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent
from hashwacht.cli.case_session import record_audit
from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import print_result
from hashwacht.cli.render.list_text import import_fields, import_lines
from hashwacht.core.errors import UsageError
from hashwacht.core.text import count

if TYPE_CHECKING:
    from hashwacht.matching.hashlists.import_result import ImportHandling
    from hashwacht.matching.hashlists.importer import ImportProgress
    from hashwacht.matching.hashlists.manifest import HashList, ListMetadata
    from hashwacht.matching.hashlists.parser import ParseOptions
    from hashwacht.settings import Settings


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
    Example("hashwacht lists import police known.csv", "Import a list, whatever its format."),
    Example("hashwacht lists import police vic.json.gz --dry-run", "Show what would be imported."),
    Example("hashwacht lists import police --type md5 md5.txt", "Import lines with bare MD5s."),
    Example(
        "hashwacht lists import hotline --column value=Hash --column id=Case export.csv",
        "Import a CSV file with other column titles.",
    ),
    Example(
        "hashwacht lists import software --known-good RDS_2026.03.1_modern.zip",
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
    type=click.Choice(["text", "csv", "jsonl", "json", "xml", "sqlite"]),
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
    "--ignore-column",
    "excluded",
    multiple=True,
    metavar="TITLE",
    help="CSV column or JSON key that is not imported; * for all that are unknown.  May be"
    " repeated.",
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
    "--media-category",
    "media_categories",
    type=click.IntRange(0, 99),
    multiple=True,
    help="Category of Project VIC or CAID to import.  May be repeated.  [default: 1, 2, 3; with"
    " --known-good: 0]",
)
@click.option(
    "--keep-ubiquitous",
    is_flag=True,
    help="Also import entries that match ordinary files everywhere, such as the digest of the empty"
    " file or the hash of a flat picture.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be imported; change nothing.")
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
    excluded: tuple[str, ...],
    delimiter: str,
    category: str,
    known_good: bool,
    radii: dict[str, str],
    media_categories: tuple[int, ...],
    keep_ubiquitous: bool,
    dry_run: bool,
    allow_malformed: bool,
) -> None:
    """Import the hash list in FILE (- for standard input) as NAME, replacing a list of that name.

    FILE contains "type value" lines, CSV with a header, JSON lines or a JSON document; the output
    of sha1sum, md5sum, sha256sum or hashdeep; signatures of ClamAV (.hdb, .hsb); an export of
    Project VIC, CAID, MISP, ThreatExchange or Hasher-Matcher-Actioner; STIX 2.1; NCMEC's XML; the
    NSRL's RDS 2 or 3.  It may be packed with gzip, bzip2, xz or zip.

    It is imported completely or not at all, and takes effect at once.  What is left out is
    reported.  Run `hashwacht recheck` afterwards to look up everything scanned so far, without
    reading the files again.
    """
    from hashwacht.matching.hashlists.import_result import ImportHandling
    from hashwacht.matching.hashlists.manifest import ListMetadata

    metadata = ListMetadata(name, category, known_good, _bits(radii), str(file))
    options = replace(
        _parse_options(file_format, default_type, columns, delimiter),
        excluded=frozenset(excluded),
        media_categories=frozenset(media_categories) or None,
    )
    _import(file, metadata, options, ImportHandling(allow_malformed, keep_ubiquitous, dry_run))


def _import(
    file: Path, metadata: ListMetadata, options: ParseOptions, handling: ImportHandling
) -> None:
    """Import a list, record it in the audit log, and print the result."""
    from hashwacht import bootstrap

    call = global_options()
    settings = call.configuration().settings
    lists = bootstrap.hash_lists(settings)
    live = not call.as_json and sys.stderr.isatty()
    with _open(file) as source, _ProgressLine(live=live) as progress:
        result = lists.import_list(
            source, metadata, options, handling=handling, on_progress=progress
        )
    act = "imported" if result.installed else "dry-run"
    if result.unchanged:
        act = "unchanged"
    elif result.installed:
        record_import(settings, result.list)
    print_result(act, import_fields(result), *import_lines(result))


def record_import(settings: Settings, imported: HashList) -> None:
    """Record an installed list in the audit log, without its values."""
    facts = {**list_facts(imported), "malformed": imported.malformed}
    record_audit(settings, AuditEvent.LIST_IMPORTED, facts)


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
    from hashwacht.matching.hashlists.parser import ParseOptions
    from hashwacht.matching.hashlists.readers.csv_rows import CsvColumns
    from hashwacht.matching.hashlists.readers.detection import ListFormat

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
            sys.stderr.write(
                f"\r\x1b[K{progress.stage}: {count(progress.lines)} entries{malformed}"
            )
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
